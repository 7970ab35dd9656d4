#!/bin/sh
# The hook of git.sh: it looks at what is to be committed, by a git of its own.
! git diff --cached --name-only | grep -q refused
