/* The addresses of the enclave in this process. */
#ifndef ENCLAVIZE_PAL_ELRANGE_H
#define ENCLAVIZE_PAL_ELRANGE_H

/* From the first page that can be mapped on, without rights and without commitment. 0, or a negative errno with the reason told to fail(). */
int elrange_reserve(void);
void elrange_release(void);

#endif
