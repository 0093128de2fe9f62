/* What crisp-exec (crisp_exec.c) and who starts it agree on. */
#ifndef CONMON_EXEC_CRISP_EXEC_H
#define CONMON_EXEC_CRISP_EXEC_H

enum { CRISP_EXEC_MOUNTS_FD = 3 }; /* with -m: the mount namespace of the runtime */

#endif
