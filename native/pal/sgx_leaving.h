/* Numbers that sgx_entry.S and sgx_enter.c share. */
#ifndef ENCLAVIZE_PAL_SGX_LEAVING_H
#define ENCLAVIZE_PAL_SGX_LEAVING_H

/* What sgx_call() returns when a signal handler has taken the thread out for good; the vDSO returns 0 or a negative errno. */
#define SGX_ABANDONED 256

/*
 * R8 when the exit handler asks for ERESUME. An asynchronous exit clears R8 (SDM volume 3D, "Asynchronous Enclave Exit"), and the vDSO hands it on in both
 * directions: an exception that comes with this R8 is one of ERESUME itself, and there was none inside.
 */
#define SGX_RESUMING 0x52534D45

#endif
