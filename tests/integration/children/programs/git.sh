# A day with git: commits with hooks, clones by path and by protocol, branches, a merge, a rebase, a pager, and a clean up.
set -eu
export GIT_AUTHOR_NAME=A GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=C GIT_COMMITTER_EMAIL=c@example.org
export GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z'
cd /tmp
git config --global init.defaultBranch main
git config --global core.hooksPath /hooks
git config --global advice.detachedHead false
git init -q one
cd one
for number in 1 2 3 4 5; do
    mkdir -p "folder$number"
    seq 1 "${number}00" > "folder$number/numbers"
    git add .
    git commit -q -m "Commit $number"
done
echo refused > refused
git add refused
git commit -q -m 'Do not commit this' || echo "the hook refused: $?"
git rm -q --cached refused
rm refused
git checkout -q -b side HEAD~2
echo side > side
git add side
git commit -q -m 'On the side'
git checkout -q main
git merge -q --no-edit side
git log --oneline --graph | cat
git checkout -q side
git rebase -q main~1 && git log -1 --format=%s
git checkout -q main
cd ..
git clone -q one two
git clone -q --no-local file:///tmp/one three
git clone -q --bare one four
(cd three && echo more >> side && git commit -q -a -m More && git push -q ../four main && git fetch -q ../two)
git -C four rev-parse main
script -qec "git -C two -c core.pager='sed s/^/paged:/' log --format=%s -3" /dev/null | tr -d "\r"
git -C one stash list | wc -l
(cd two && echo dirty >> side && git stash -q && git stash pop -q && git diff --stat | cat)
git -C two reset -q --hard
git -C two bisect start HEAD HEAD~3 > /dev/null
git -C two bisect run sh -c '! grep -q "^500$" folder5/numbers' 2>&1 | tail -12
git -C two bisect reset 2>/dev/null
git -C one gc -q
git -C one fsck --strict --no-progress
git -C one count-objects | cut -d' ' -f1
git -C one archive HEAD | tar -t | wc -l
