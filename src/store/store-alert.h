/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Alerts on record: what fires and fired, the queue of what is to be told of it, and silences. As in store.h nothing blocks;
 * what the workers do is in store-alert-worker.h. */

#include "alert.h"
#include "store.h"

/* What is over is kept for so long. */
#define STORE_ALERTS_KEEP (90 * USEC_PER_DAY)
/* At most this many silences at once. */
#define STORE_SILENCES_MAX 256U
#define STORE_SILENCES_OF_ONE_MAX 16U

/* The secret of the webhook is sealed like those of an instance that there never is. */
#define STORE_ALERT_SECRET_INSTANCE "00000000-0000-0000-0000-000000000000"
#define STORE_ALERT_SECRET_NAME "ALERT_WEBHOOK"

/* What was last told over a channel. */
typedef struct AlertDelivery {
        AlertChannel channel;
        AlertStatus status;
        unsigned number; /* 0: the first notice */
        char state[16];  /* queued, delivered, failed */
        unsigned n_attempts;
        char *error; /* of the last attempt; "": none */
        usec_t at;   /* its end, or the next attempt */
} AlertDelivery;

typedef struct AlertRecord {
        uint64_t id; /* 0: not on record yet */
        char uuid[STORE_ID_MAX];
        char *rule; /* text: "test" is none of ours */
        char *severity;
        char instance[STORE_ID_MAX]; /* "": it is about none */
        char *slug, *name;           /* NULL: the same */
        char *subject;               /* the path of a file system; "" */
        bool firing;
        char *message;
        usec_t since, fired_at, resolved_at, notified_at;
        unsigned n_notified;
        AlertDelivery *deliveries; /* the last of each channel */
        size_t n_deliveries;
} AlertRecord;

AlertRecord *alert_record_free(AlertRecord *a);
DEFINE_CLEANUP_FUNC(AlertRecord *, alert_record_free);

typedef struct AlertRecords {
        AlertRecord **items;
        size_t n;
} AlertRecords;
void alert_records_done(AlertRecords *l);

typedef struct SilenceRecord {
        uint64_t id;
        char *rule;                  /* NULL: any */
        char instance[STORE_ID_MAX]; /* "": any */
        char *slug;                  /* NULL: any */
        usec_t until;
        char *reason, *created_by;
        usec_t created_at;
} SilenceRecord;

typedef struct SilenceRecords {
        SilenceRecord *items; /* by id */
        size_t n;
} SilenceRecords;
SilenceRecords *silence_records_free(SilenceRecords *l);
DEFINE_CLEANUP_FUNC(SilenceRecords *, silence_records_free);

/* --- reading --- */

typedef void (*StoreAlertsLoadedCallback)(
                int r, AlertRecords *alerts, SilenceRecords *silences, Error *error, void *userdata);
/* What fires, and the silences, also those that ended within a day, which the callback owns; the array of alerts as
 * below. */
int store_load_alerts(Db *db, StoreAlertsLoadedCallback callback, void *userdata, DbSlot **ret_slot,
                Error *reterr);

/* NULL and 0 are "any". */
typedef struct StoreAlertFilter {
        uint64_t id;
        const char *rule, *state, *instance; /* slug */
        char *const *among; /* ids of the only instances that count; NULL: all, and what is about none */
        uint64_t offset, limit;
} StoreAlertFilter;

typedef void (*StoreAlertsCallback)(int r, AlertRecords *alerts, Error *error, void *userdata);
/* Newest first. The array is freed by alert_records_done() after the callback, but for what was taken out. */
int store_list_alerts(Db *db, const StoreAlertFilter *filter, StoreAlertsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* How soon each channel has something to do (USEC_INFINITY: nothing), and, if it has, how many attempts there were of all
 * that it had: with each attempt that is another number. */
typedef struct StoreQueueDue {
        usec_t in[_ALERT_CHANNEL_MAX];
        uint64_t n_attempts[_ALERT_CHANNEL_MAX];
} StoreQueueDue;
typedef void (*StoreQueueDueCallback)(int r, const StoreQueueDue *due, Error *error, void *userdata);
/* With 'hurry', what waits for another attempt is due at once. */
int store_alert_queue_due(Db *db, bool hurry, StoreQueueDueCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* An instance with secrets that are too old. */
typedef struct StoreOldSecret {
        char instance[STORE_ID_MAX];
        usec_t created_at; /* of the oldest */
} StoreOldSecret;
typedef void (*StoreOldSecretsCallback)(
                int r, const StoreOldSecret *items, size_t n, Error *error, void *userdata);
/* Those older than 'age' (0: none is), and removes what is over for longer than STORE_ALERTS_KEEP. */
int store_tend_alerts(Db *db, usec_t age, StoreOldSecretsCallback callback, void *userdata,
                DbSlot **ret_slot, Error *reterr);

/* --- writing --- */

typedef void (*StoreDoneCallback)(int r, Error *error, void *userdata);
/* 'alerts' is an array of objects, as alerts-put takes them, each with "notices", an array of what is to be told of it:
 * status, number, message. 'channels' are the names of those that are on. To write the same again changes nothing. */
int store_put_alerts(Db *db, const json_t *alerts, char *const *channels, StoreDoneCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

typedef void (*StoreIdCallback)(int r, uint64_t id, Error *error, void *userdata);
/* An alert that is told over one channel and means nothing. Gives its id. */
int store_test_alert(Db *db, AlertChannel channel, const char *message, StoreIdCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

typedef struct StoreSilence {
        const char *rule;     /* NULL: any */
        const char *instance; /* id; NULL: any */
        const char *slug;     /* of it, for the audit record */
        usec_t until;
        const char *reason;
} StoreSilence;
typedef void (*StoreSilencesCallback)(
                int r, uint64_t id, SilenceRecords *silences, Error *error, void *userdata);
/* Gives the id of the new one, and all as store_load_alerts() does. LimitExceeded, NoSuchInstance. */
int store_silence_alerts(Db *db, const StoreSilence *silence, const AuditActor *actor,
                StoreSilencesCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
/* NoSuchAlert. */
int store_unsilence_alerts(Db *db, uint64_t id, const AuditActor *actor, StoreSilencesCallback callback,
                void *userdata, DbSlot **ret_slot, Error *reterr);

/* --- the secret of the webhook --- */

typedef void (*StoreAlertSecretsCallback)(int r, SecretRecords *secrets, Error *error, void *userdata);
/* The newest version first; none: there is none yet. With 'put' that one is recorded before, if its version is the next one;
 * with an actor too, as SECRET_ROTATE. The array is freed after the callback. */
typedef struct StoreAlertSecret {
        unsigned version;
        const char *key_id;
        const void *sealed;
        size_t size;
} StoreAlertSecret;
int store_alert_secrets(Db *db, const StoreAlertSecret *put, const AuditActor *actor,
                StoreAlertSecretsCallback callback, void *userdata, DbSlot **ret_slot, Error *reterr);
