#include <zlib.h>
#include <lz4frame.h>
#include <zstd.h>
