// <features.h> first: libraries that set feature macros of their own would otherwise change the layout of fd_set.
#include <features.h>
#include <uv.h>
