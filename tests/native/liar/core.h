/* Between the lying host and the core of the tests. */
#ifndef LIAR_CORE_H
#define LIAR_CORE_H

#define SECRET 0x3153544552434553 /* "SECRETS1": what no OCALL may tell */

/* Lines on the log by which the core tells the host what is to come. */
#define SAYS_LIE "liar: lie"
#define SAYS_ATTACK "liar: attack"
#define SAYS_END "liar: end" /* no more lies; then OCALL_EXIT, which two threads inside do not believe */

/* The result of every OCALL when there is nothing more to lie about: an errno that no lie uses. */
#define DONE_LYING (-132)

/* What a thread writes outside that goes on after the end. */
#define STILL_HERE 0x4552454854534C4C

#endif
