/*
 * What Intel's enclave signing tool (SDK 2.26) and any other signer look for in the unsigned file, and the measured configuration.
 */

/* Room for the metadata: an ELF note whose name is not padded (Intel SDK, sgx_metadata). Not loaded. */
    .section .note.sgxmeta, "", @note
    .balign 4
    .long 13
    .long 0x6000
    .long 1
    .ascii "sgx_metadata\0"
    .fill 0x6000, 1, 0
    .balign 4

/* global_data_t of the SDK: the signer describes the layout here, the loader patches it in before measuring. Unsigned, it starts with the SDK's version. */
    .section .rodata.g_global_data, "a", @progbits
    .balign 8
    .globl g_global_data
    .type g_global_data, @object
g_global_data:
    .short 100
    .short 26
    .long 2
    .fill 1760, 1, 0
    .size g_global_data, 1768

    .section .measured_configuration, "a", @progbits
    .balign 4096
    .globl measured_configuration
    .type measured_configuration, @object
measured_configuration:
    .fill 0x10000, 1, 0
    .size measured_configuration, 0x10000

    .section .note.GNU-stack, "", @progbits
