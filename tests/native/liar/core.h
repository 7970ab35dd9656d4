/* Between the lying host and the core of the tests. */
#ifndef LIAR_CORE_H
#define LIAR_CORE_H

#define SECRET 0x3153544552434553 /* "SECRETS1": what no OCALL may tell */

/* Lines on the log by which the core tells the host what is to come. */
#define SAYS_LIE "liar: lie"
#define SAYS_ATTACK "liar: attack"

/* The result of every OCALL when there is nothing more to lie about: an errno that no lie uses. */
#define DONE_LYING (-132)

#endif
