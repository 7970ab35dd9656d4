# A small C project by make and four jobs: compiled, linked, run, and cleaned up. /build may be written to, and executed.
set -eu
mkdir -p /build/project/library
cd /build/project
for number in 1 2 3 4 5 6 7 8; do
    echo "int part$number(void) { return $number; }" > "library/part$number.c"
done
{
    echo '#include <stdio.h>'
    for number in 1 2 3 4 5 6 7 8; do echo "int part$number(void);"; done
    echo 'int main(void) { printf("%d\n", part1() + part2() + part3() + part4() + part5() + part6() + part7() + part8()); return 0; }'
} > main.c
cat > Makefile <<'X'
CC = tcc
VERSION := $(shell echo 1 | sed s/1/one/)
check: program
	@./program | sed 's/^/$(VERSION): /'
program: main.o library/library.a
	@$(CC) -o $@ $^
library/library.a: force
	@+$(MAKE) --no-print-directory -s -C library library.a
%.o: %.c
	@$(CC) -c -o $@ $<
force: ;
broken: main.o
	@exit 3
X
cat > library/Makefile <<'X'
OBJECTS := $(patsubst %.c,%.o,$(sort $(wildcard *.c)))
library.a: $(OBJECTS)
	@tcc -ar rcs $@ $^
%.o: %.c
	@tcc -c -o $@ $<
X
make -j4 check
make -j4 check
touch library/part3.c
make -j4 -n program | grep -c tcc
make -j2 broken 2>&1 | tail -1
make -s -k -j4 broken program 2>&1 | sed 's/\[[^]]*\]//' || true
