# Tools that start others, and many of them at once.
set -eu
cd /tmp
mkdir -p tree/a/b tree/c
for number in $(seq 1 40); do seq 1 "$number" > "tree/a/file$number"; done
cp tree/a/file7 tree/c/other
find tree -type f -exec cat {} + | wc -l
find tree -name 'file1*' -exec sh -c 'wc -l < "$1"' sh {} \; | sort -n | tr '\n' ' '
find tree -type f -print0 | xargs -0 -n 3 -P 4 sha256sum | sort | sha256sum
seq 1 60 | xargs -P 8 -I{} sh -c 'echo $(( {} * {} ))' | sort -n | tail -1
seq 1 10 | xargs -n 1 sh -c 'exit $(( $0 == 5 ))' || echo "xargs: $?"
tar -c tree | gzip -9 | gzip -d | tar -t | sort | sha256sum
tar -czf tree.tar.gz tree
mkdir copy
tar -xzf tree.tar.gz -C copy --checkpoint=1 --checkpoint-action=exec='echo $TAR_CHECKPOINT' | wc -l
diff -r tree copy/tree && echo equal
tar -c tree | (cd /tmp/copy && tar -x --to-command='wc -c') | sort -n | tail -1
seq 1 50000 | sort -R | split -n r/4 --filter='sort -n | head -1' - part | sort -n | wc -l
i=0
while [ $i -lt 20 ]; do
    i=$((i + 1))
    (seq 1 $((i * 100)) | sort -rn | head -1 > "result$i") &
done
wait
cat result* | sort -n | sha256sum
timeout 0.2 sleep 100 || echo "timeout: $?"
timeout -s KILL 0.2 sh -c 'trap "" TERM; while :; do :; done' || echo "killed: $?"
nice -n 5 nohup env -i A=b sh -c 'echo $A' 2>/dev/null
run-parts --exit-on-error /parts
