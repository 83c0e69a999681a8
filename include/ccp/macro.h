/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* The few macros that every file may use: attributes, ownership hand-over, and set tests. */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define _cleanup_(f) __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_ __attribute__((unused))
#define _warn_unused_ __attribute__((warn_unused_result))
#define _noreturn_ __attribute__((noreturn))
#define _sentinel_ __attribute__((sentinel))
#define _fallthrough_ __attribute__((fallthrough))

#define ELEMENTSOF(x) (sizeof(x) / sizeof((x)[0]))
#define STRLEN(x) (sizeof("" x "") - 1U)
#define STRINGIFY_REAL(x) #x
#define STRINGIFY(x) STRINGIFY_REAL(x)

/* Names that nested uses of a macro don't share. */
#define CONCATENATE_REAL(a, b) a##b
#define CONCATENATE(a, b) CONCATENATE_REAL(a, b)
#define UNIQUE(name, n) CONCATENATE(_unique_##name##_, n)

#define MAX(a, b) MAX_REAL(__COUNTER__, (a), (b))
#define MAX_REAL(n, x, y)                                                  \
        ({                                                                 \
                const __auto_type UNIQUE(a, n) = (x);                      \
                const __auto_type UNIQUE(b, n) = (y);                      \
                UNIQUE(a, n) > UNIQUE(b, n) ? UNIQUE(a, n) : UNIQUE(b, n); \
        })
#define MIN(a, b) MIN_REAL(__COUNTER__, (a), (b))
#define MIN_REAL(n, x, y)                                                  \
        ({                                                                 \
                const __auto_type UNIQUE(a, n) = (x);                      \
                const __auto_type UNIQUE(b, n) = (y);                      \
                UNIQUE(a, n) < UNIQUE(b, n) ? UNIQUE(a, n) : UNIQUE(b, n); \
        })

/* Hands over the value of a variable that a cleanup handler guards, and disarms the handler. */
#define TAKE_GENERIC(var, null)             \
        ({                                  \
                __auto_type _value = (var); \
                (var) = (null);             \
                _value;                     \
        })
#define TAKE_PTR(p) TAKE_GENERIC(p, NULL)
#define TAKE_FD(fd) TAKE_GENERIC(fd, -EBADF)

/* True if x equals one of the further arguments. */
#define IN_SET(x, ...)                                                      \
        ({                                                                  \
                const __typeof__(x) _set[] = { __VA_ARGS__ };               \
                const __typeof__(x) _x = (x);                               \
                bool _found = false;                                        \
                for (size_t _k = 0; _k < ELEMENTSOF(_set) && !_found; _k++) \
                        _found = _set[_k] == _x;                            \
                _found;                                                     \
        })

/* Defines NAMEp(), a cleanup handler for pointers, from a destructor. */
#define DEFINE_CLEANUP_FUNC(type, destructor)       \
        static inline void destructor##p(type *p) { \
                if (*p)                             \
                        (void) destructor(*p);      \
        }                                           \
        struct _require_semicolon_

/* Walks over the n elements of an array. */
#define FOREACH_ARRAY(i, array, n) \
        for (__typeof__((array)[0]) *i = (array), *_end_##i = i ? i + (n) : i; i < _end_##i; i++)

/* Defines the two-way look-up between an enum and its strings: NAME_to_string(), NAME_from_string(). The
 * latter returns -EINVAL for a string that is not in the table. */
#define DECLARE_STRING_TABLE(name, type)      \
        const char *name##_to_string(type i); \
        type name##_from_string(const char *s)
#define DEFINE_STRING_TABLE(name, type)                                                       \
        const char *name##_to_string(type i) {                                                \
                if (i < 0 || (size_t) i >= ELEMENTSOF(name##_table))                          \
                        return NULL;                                                          \
                return name##_table[i];                                                       \
        }                                                                                     \
        type name##_from_string(const char *s) {                                              \
                return (type) string_table_lookup(name##_table, ELEMENTSOF(name##_table), s); \
        }                                                                                     \
        struct _require_semicolon_
