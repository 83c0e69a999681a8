/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include "bus-auth.h"

#include <errno.h>

#include "alloc-util.h"
#include "ccp/names.h"
#include "log.h"
#include "message-size.h"
#include "polkit-client.h"
#include "string-util.h"
#include "time-util.h"
#include "uid-limit.h"

/* What the arguments of a call may come to: a little more than bus_read_options() takes. */
#define ARGUMENTS_MAX (1280U * 1024U)

/* Calls of a user who is not root, a second and at once. A page that shows a fleet makes some dozens. */
#define CALL_RATE 100U
#define CALL_BURST 400U

/* Calls that wait for a decision: of one connection, of one user, and in all. Above, they are refused. Who has
 * just come waits for a moment only, and may be root: there is always room for him. */
#define PENDING_CALLER_MAX 64U
#define PENDING_UID_MAX 256U
#define PENDING_MAX 2048U
#define PENDING_NEW_MAX 4096U

/* What the arguments of those may come to together, but for short ones: others keep theirs in memory. */
#define PENDING_BYTES_MAX (16U * 1024U * 1024U)
#define PENDING_BYTES_SHORT 4096U

/* Questions to polkit of one user at a time; further calls wait for their turn. */
#define QUESTIONS_UID_MAX 8U
/* Of these with somebody who may be typing a password: further ones are refused, the turn could be far off. */
#define DIALOGUES_UID_MAX 4U
#define DIALOGUES_MAX 32U

/* How long a permission to read holds without asking again. Rules that changed, and roles, end it at once. */
#define VERDICT_USEC (5 * USEC_PER_SEC)

typedef enum PendingState {
        PENDING_CALLER,   /* who calls is being found out */
        PENDING_TURN,     /* for a free place among the questions */
        PENDING_ANSWER,   /* for polkit */
        PENDING_ANSWERED, /* the call is about to be dispatched again */
} PendingState;

/* A parked call, or one that is asked about for another reason (no message). */
typedef struct Pending {
        BusAuth *auth;
        struct Pending *prev, *next; /* oldest first */
        sd_bus_message *message;     /* NULL: recheck */
        size_t size;                 /* of its arguments */
        auth_recheck_handler_t recheck;
        Caller *caller;
        PendingState state;
        AuthRequest request;
        bool interactive; /* who calls lets polkit ask somebody for a password */
        bool dialogue;    /* and that is what it needs: so far it was asked without */
        bool asked_again;
        PolkitCheck *check;
        PolkitAnswer answer;
} Pending;

struct BusAuth {
        sd_bus *bus;
        sd_bus_slot *filter_slot;
        Callers *callers;
        PolkitClient *polkit;
        UidLimit *limit;
        Pending *first, *last;
        unsigned n_pending;
        size_t pending_bytes;
        const BusAuthHandlers *handlers;
        void *userdata;
};

static void ask_next(BusAuth *a);

/* --- parked calls --- */

static Pending *pending_find(const BusAuth *a, const sd_bus_message *m) {
        for (Pending *p = a->first; p; p = p->next)
                if (p->message == m)
                        return p;
        return NULL;
}

static void pending_free(Pending *p) {
        BusAuth *a = p->auth;

        if (p->prev)
                p->prev->next = p->next;
        else
                a->first = p->next;
        if (p->next)
                p->next->prev = p->prev;
        else
                a->last = p->prev;
        a->n_pending--;
        a->pending_bytes -= p->size;
        p->caller->n_pending--;

        (void) polkit_check_cancel(p->check);
        sd_bus_message_unref(p->message);
        free(p);
}

static int pending_new(
                BusAuth *a, sd_bus_message *m, size_t size, Caller *c, PendingState state, Pending **ret) {
        Pending *p;

        if (a->n_pending >= (state == PENDING_CALLER ? PENDING_NEW_MAX : PENDING_MAX) ||
                        c->n_pending >= PENDING_CALLER_MAX)
                return -ENOBUFS;
        if (size > PENDING_BYTES_SHORT && a->pending_bytes + size > PENDING_BYTES_MAX)
                return -ENOBUFS;

        p = new0(Pending, 1);
        if (!p)
                return -ENOMEM;
        *p = (Pending) {
                .auth = a,
                .prev = a->last,
                .message = sd_bus_message_ref(m),
                .size = size,
                .caller = c,
                .state = state,
        };
        if (a->last)
                a->last->next = p;
        else
                a->first = p;
        a->last = p;
        a->n_pending++;
        a->pending_bytes += size;
        c->n_pending++;

        *ret = p;
        return 0;
}

static unsigned count_questions(const BusAuth *a, uid_t uid, bool dialogues) {
        unsigned n = 0;

        for (const Pending *p = a->first; p; p = p->next)
                n += p->state == PENDING_ANSWER && p->caller->subject.uid == uid &&
                                (p->dialogue || !dialogues);
        return n;
}

static unsigned count_dialogues(const BusAuth *a) {
        unsigned n = 0;

        for (const Pending *p = a->first; p; p = p->next)
                n += p->state == PENDING_ANSWER && p->dialogue;
        return n;
}

static unsigned count_parked(const BusAuth *a, uid_t uid) {
        unsigned n = 0;

        for (const Pending *p = a->first; p; p = p->next)
                n += p->state != PENDING_CALLER && p->caller->subject.uid == uid;
        return n;
}

/* Errors of a call that waits for none are dropped by libsystemd. */
static void refuse(sd_bus_message *m, const sd_bus_error *e) {
        int r;

        r = sd_bus_reply_method_error(m, e);
        if (r < 0)
                log_debug_errno(r, "Failed to refuse a call, ignoring: %m");
}

static void refuse_limit(sd_bus_message *m) {
        refuse(m,
                        &SD_BUS_ERROR_MAKE_CONST(CCP_ERROR_LIMIT_EXCEEDED,
                                        "Too many calls at once. Wait a moment, then try again."));
}

/* Has the whole call dispatched once more: objects are looked up and arguments read anew. */
static void dispatch_again(Pending *p) {
        int r;

        r = sd_bus_message_rewind(p->message, /* complete= */ true);
        if (r >= 0)
                r = sd_bus_enqueue_for_read(p->auth->bus, p->message);
        if (r < 0) {
                log_warning_errno(r, "Failed to go on with a call, refusing it: %m");
                refuse_limit(p->message);
                pending_free(p);
        }
}

/* --- asking polkit --- */

static bool request_equal(const AuthRequest *a, const AuthRequest *b) {
        return streq(a->action, b->action) && streq(a->verb, b->verb) && streq(a->instance, b->instance) &&
                        streq(a->instance_id, b->instance_id) && a->role == b->role && a->audit == b->audit;
}

static bool is_read(const AuthRequest *q) {
        return q->audit < 0 && startswith(q->action, CCP_ACTION_VIEW);
}

static bool verdict_holds(const CallerVerdict *v, const AuthRequest *q, usec_t when) {
        return v->action && streq(v->action, q->action) && streq(v->verb, q->verb) && v->role == q->role &&
                        streq(v->instance, q->instance) && v->until > when;
}

static bool may_read_again(const Caller *c, const AuthRequest *q) {
        usec_t when = now(CLOCK_MONOTONIC);

        if (!is_read(q))
                return false;
        FOREACH_ARRAY(v, c->verdicts, CALLER_VERDICTS_MAX)
                if (verdict_holds(v, q, when))
                        return true;
        return false;
}

static void keep_verdict(Caller *c, const AuthRequest *q) {
        CallerVerdict *v = c->verdicts + c->next_verdict++ % CALLER_VERDICTS_MAX;

        *v = (CallerVerdict) {
                .action = q->action,
                .verb = q->verb,
                .role = q->role,
                .until = now(CLOCK_MONOTONIC) + VERDICT_USEC,
        };
        (void) snprintf(v->instance, sizeof(v->instance), "%s", q->instance);
}

/* Only who needs a password takes one of the few dialogues: most callers would allow one, and need none. Under a flood the
 * bus drops answers to us, too; nobody is asked for a password twice. */
static bool needs_another_question(Pending *p, PolkitAnswer answer) {
        bool *flag = answer == POLKIT_CHALLENGE && p->interactive ? &p->dialogue
                        : answer == POLKIT_AWAY && !p->dialogue   ? &p->asked_again
                                                                  : NULL;

        if (!flag || *flag)
                return false;
        *flag = true;
        return true;
}

static void on_polkit(PolkitAnswer answer, void *userdata) {
        Pending *p = userdata;
        BusAuth *a = p->auth;

        p->check = NULL;

        if (needs_another_question(p, answer)) {
                p->state = PENDING_TURN;
                ask_next(a);
                return;
        }

        p->answer = answer;
        p->state = PENDING_ANSWERED;
        if (answer == POLKIT_ALLOWED && is_read(&p->request))
                keep_verdict(p->caller, &p->request);

        if (p->message)
                dispatch_again(p);
        else {
                Caller *c = p->caller;
                auth_recheck_handler_t recheck = p->recheck;

                pending_free(p);
                recheck(c, answer == POLKIT_ALLOWED, a->userdata);
        }
        ask_next(a);
}

/* Asks, if it is its turn. 0, also if it is not; -ENOBUFS if there are too many dialogues. */
static int ask(Pending *p) {
        const AuthRequest *q = &p->request;
        const PolkitDetail details[] = {
                { "instance", q->instance },
                { "role", strempty(role_to_string(q->role)) },
                { "owner", "" },
                { "verb", q->verb },
        };
        BusAuth *a = p->auth;
        uid_t uid = p->caller->subject.uid;
        int r;

        if (p->dialogue &&
                        (count_questions(a, uid, /* dialogues= */ true) >= DIALOGUES_UID_MAX ||
                                        count_dialogues(a) >= DIALOGUES_MAX))
                return -ENOBUFS;
        if (count_questions(a, uid, /* dialogues= */ false) >= QUESTIONS_UID_MAX)
                return 0;

        r = polkit_check(a->polkit, p->caller->name, q->action, details, ELEMENTSOF(details), p->dialogue,
                        on_polkit, p, &p->check);
        if (r == -ENOBUFS)
                return 0;
        if (r < 0)
                return r;

        p->state = PENDING_ANSWER;
        return 0;
}

static void ask_next(BusAuth *a) {
        Pending *p, *next;

        for (p = a->first; p; p = next) {
                int r;

                next = p->next;
                if (p->state != PENDING_TURN)
                        continue;

                r = ask(p);
                if (r < 0) {
                        if (p->message)
                                refuse_limit(p->message);
                        pending_free(p);
                }
        }
}

int bus_auth_recheck(BusAuth *a, Caller *c, const AuthRequest *q, auth_recheck_handler_t handler) {
        Pending *p;
        int r;

        if (c->subject.uid == 0) {
                handler(c, true, a->userdata);
                return 0;
        }

        r = pending_new(a, NULL, 0, c, PENDING_TURN, &p);
        if (r < 0)
                return r;
        p->request = *q;
        p->recheck = handler;

        r = ask(p);
        if (r < 0)
                pending_free(p);
        return r;
}

/* --- the door --- */

/* The instance as the caller named it, if that was a name at all. */
static const char *about(const AuthRequest *q) {
        return isempty(q->instance) ? "?" : q->instance;
}

/* Says no. The sentence depends on nothing but what the caller said himself. */
static void deny(BusAuth *a, sd_bus_message *m, Caller *c, const AuthRequest *q, const char *name,
                const char *why) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;

        (void) sd_bus_error_setf(&e, name, "You may not %s%s%s%s. %s", q->phrase, q->named ? " '" : "",
                        q->named ? about(q) : "", q->named ? "'" : "", why);
        log_debug("Denied %s (%s) to %s: %s", q->verb, q->instance, c->user, name);
        refuse(m, &e);
        if (q->audit >= 0)
                a->handlers->denied(c, q, name, a->userdata);
}

static const struct {
        const char *name, *why;
} denials[] = {
        [POLKIT_DENIED] = { CCP_ERROR_NOT_AUTHORIZED,
                        "Use sudo, or have an administrator of ccpd give you a role: ccpctl role "
                        "grant" },
        [POLKIT_CHALLENGE] = { SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                        "It needs a password, and there was nobody to ask for it." },
        [POLKIT_AWAY] = { CCP_ERROR_NOT_AUTHORIZED,
                        "polkit does not answer, so only root may. See: systemctl status polkit" },
};

/* A call that polkit was asked about comes in again. Returns true if it is let in. */
static bool enter_answered(Pending *p, sd_bus_message *m, Caller *c, const AuthRequest *q) {
        PolkitAnswer answer = p->answer;
        bool same = request_equal(q, &p->request);
        BusAuth *a = p->auth;

        pending_free(p);
        if (answer == POLKIT_ALLOWED && same)
                return true;

        if (answer == POLKIT_ALLOWED)
                deny(a, m, c, q, CCP_ERROR_NOT_AUTHORIZED,
                                "What it is about changed while it was being decided. Look, and try again.");
        else
                deny(a, m, c, q, denials[answer].name, denials[answer].why);
        return false;
}

static void park(BusAuth *a, sd_bus_message *m, size_t size, Caller *c, const AuthRequest *q) {
        Pending *p = NULL;
        int r;

        r = q && count_parked(a, c->subject.uid) >= PENDING_UID_MAX
                        ? -ENOBUFS
                        : pending_new(a, m, size, c, q ? PENDING_TURN : PENDING_CALLER, &p);
        if (r >= 0 && q) {
                p->request = *q;
                p->interactive = sd_bus_message_get_allow_interactive_authorization(m) > 0;
                r = ask(p);
        }
        if (r >= 0)
                return;

        if (r != -ENOBUFS)
                log_warning_errno(r, "Failed to have a call decided, refusing it: %m");
        if (p)
                pending_free(p);
        refuse_limit(m);
}

/* Limits what others than root may ask, before it costs anything. */
static bool within_limit(BusAuth *a, const Caller *c) {
        unsigned refused;

        if (c->subject.uid == 0)
                return true;
        if (uid_limit_take(a->limit, c->subject.uid, now(CLOCK_MONOTONIC), &refused)) {
                if (refused > 0)
                        log_notice("Refused %u calls of %s, who made more than %u a second.",
                                        uid_limit_reset_refused(a->limit, c->subject.uid), c->user,
                                        CALL_RATE);
                return true;
        }
        return false;
}

/* Whether polkit, or being root, lets a call in. If not it is answered, or parked. */
static bool is_allowed(
                BusAuth *a, sd_bus_message *m, size_t size, Caller *c, Pending *p, const AuthRequest *q) {
        if (c->subject.uid == 0)
                return true;
        if (p)
                return enter_answered(p, m, c, q);
        if (!q->action) {
                deny(a, m, c, q, CCP_ERROR_NOT_AUTHORIZED, "Only root may.");
                return false;
        }
        if (may_read_again(c, q))
                return true;

        park(a, m, size, c, q);
        return false;
}

static bool enter(BusAuth *a, sd_bus_message *m, size_t size, Caller *c, Pending *p) {
        _cleanup_(sd_bus_error_free) sd_bus_error e = SD_BUS_ERROR_NULL;
        AuthRequest q = { .role = _ROLE_INVALID, .audit = _AUDIT_ACTION_INVALID };
        AuthScope scope = AUTH_ASK;
        int r;

        r = a->handlers->describe(m, c, &q, &scope, a->userdata, &e);
        if (r >= 0 && scope == AUTH_OPEN)
                return true;
        if (r >= 0) {
                if (!is_allowed(a, m, size, c, p, &q))
                        return false;
                log_debug("Let in %s (%s) of %s.", q.verb, q.instance, c->user);
                r = a->handlers->admit(c, &q, a->userdata, &e);
        } else if (p)
                pending_free(p);
        if (r >= 0)
                return true;

        if (sd_bus_error_is_set(&e))
                refuse(m, &e);
        else
                (void) sd_bus_reply_method_errno(m, r, NULL);
        return false;
}

static int door(sd_bus_message *m, void *userdata, _unused_ sd_bus_error *reterr) {
        BusAuth *a = userdata;
        const char *sender;
        size_t size = 0;
        Caller *c;
        Pending *p;
        int r;

        if (sd_bus_message_is_method_call(m, NULL, NULL) <= 0)
                return 0;

        sender = sd_bus_message_get_sender(m);
        p = pending_find(a, m);
        if (!sender || (p && IN_SET(p->state, PENDING_TURN, PENDING_ANSWER)))
                return 1;

        /* There may be secrets in it, whether it is let in or not. */
        r = sd_bus_message_sensitive(m);
        if (r >= 0)
                r = p ? 0 : message_measure(m, ARGUMENTS_MAX, &size);
        if (r < 0) {
                refuse(m, &SD_BUS_ERROR_MAKE_CONST(CCP_ERROR_LIMIT_EXCEEDED, "The arguments are too long."));
                return 1;
        }

        r = callers_get(a->callers, sender, &c);
        if (r < 0) {
                if (r != -ENOBUFS)
                        log_warning_errno(r, "Failed to find out who calls, refusing: %m");
                if (p)
                        pending_free(p);
                refuse_limit(m);
                return 1;
        }
        if (r == 0) {
                if (!p)
                        park(a, m, size, c, NULL);
                return 1;
        }

        /* Who calls is known now: from here on it is a call like any other. */
        if (p && p->state == PENDING_CALLER) {
                size = p->size;
                pending_free(p);
                p = NULL;
        }
        if (!p && !within_limit(a, c)) {
                refuse_limit(m);
                return 1;
        }

        return enter(a, m, size, c, p) ? 0 : 1;
}

/* --- who comes and goes --- */

static void on_caller_known(Caller *c, int r, void *userdata) {
        BusAuth *a = userdata;
        Pending *p, *next;

        if (r >= 0)
                a->handlers->arrived(c, a->userdata);
        else
                log_debug_errno(r, "Failed to find out who %s is: %m", c->name);

        for (p = a->first; p; p = next) {
                next = p->next;
                if (p->caller != c)
                        continue;

                if (r >= 0)
                        dispatch_again(p);
                else {
                        /* It is gone, or the bus does not know who it is. */
                        refuse(p->message,
                                        &SD_BUS_ERROR_MAKE_CONST(CCP_ERROR_NOT_AUTHORIZED,
                                                        "The bus does not tell who calls."));
                        pending_free(p);
                }
        }
}

static void on_caller_gone(Caller *c, void *userdata) {
        BusAuth *a = userdata;
        Pending *p, *next;

        for (p = a->first; p; p = next) {
                next = p->next;
                if (p->caller == c)
                        pending_free(p);
        }
        ask_next(a);
}

static void on_polkit_changed(void *userdata) {
        BusAuth *a = userdata;

        callers_forget_verdicts(a->callers);
        a->handlers->changed(a->userdata);
}

int bus_auth_new(sd_bus *bus, UserLookup *lookup, const BusAuthHandlers *handlers, void *userdata,
                BusAuth **ret) {
        _cleanup_(bus_auth_freep) BusAuth *a = NULL;
        int r;

        a = new0(BusAuth, 1);
        if (!a)
                return -ENOMEM;
        a->bus = bus;
        a->handlers = handlers;
        a->userdata = userdata;

        a->limit = uid_limit_new(CALL_RATE, CALL_BURST);
        if (!a->limit)
                return -ENOMEM;
        r = callers_new(bus, lookup, on_caller_known, on_caller_gone, a, &a->callers);
        if (r < 0)
                return r;
        r = polkit_client_new(bus, on_polkit_changed, a, &a->polkit);
        if (r < 0)
                return r;
        r = sd_bus_add_filter(bus, &a->filter_slot, door, a);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(a);
        return 0;
}

BusAuth *bus_auth_free(BusAuth *a) {
        if (!a)
                return NULL;

        sd_bus_slot_unref(a->filter_slot);
        while (a->first)
                pending_free(a->first);
        polkit_client_free(a->polkit);
        callers_free(a->callers);
        uid_limit_free(a->limit);
        return mfree(a);
}

Caller *bus_auth_caller(const BusAuth *a, sd_bus_message *m) {
        const char *sender = m ? sd_bus_message_get_sender(m) : NULL;

        return sender ? callers_find(a->callers, sender) : NULL;
}

Callers *bus_auth_callers(const BusAuth *a) {
        return a->callers;
}
