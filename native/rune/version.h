#ifndef RUNE_VERSION_H
#define RUNE_VERSION_H

#define VERSION "0.2.0" /* enclavize/__init__.py */

#endif
