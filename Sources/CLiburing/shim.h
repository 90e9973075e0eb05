// The C library's feature macros are settled by this first include, as Swift's own import of Glibc settles them; after it
// liburing's _GNU_SOURCE changes no system type (fd_set would differ between modules).
#include <stdint.h>

#include <liburing.h>

// Flags that the header builds from enumerators, which Swift does not import.
enum {
    RINGWAY_SQE_BUFFER_SELECT = IOSQE_BUFFER_SELECT,
    RINGWAY_SQE_CQE_SKIP_SUCCESS = IOSQE_CQE_SKIP_SUCCESS,
};
