    .section .rodata, "a", @progbits
    .globl vdso_file, vdso_file_end
    .balign 4096
vdso_file:
    .incbin VDSO
vdso_file_end:
    .section .note.GNU-stack, "", @progbits
