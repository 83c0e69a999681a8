/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

/* Every name that more than one program, or a user, relies on: bus, paths, actions, errors, files. */

#define CCP_BUS_NAME "org.changemaker.ccp1"
#define CCP_BUS_PATH "/org/changemaker/ccp1"

#define CCP_INTERFACE_MANAGER CCP_BUS_NAME ".Manager"
#define CCP_INTERFACE_INSTANCE CCP_BUS_NAME ".Instance"
#define CCP_INTERFACE_JOB CCP_BUS_NAME ".Job"
#define CCP_INTERFACE_BLUEPRINT CCP_BUS_NAME ".Blueprint"

#define CCP_PATH_INSTANCE CCP_BUS_PATH "/instance"
#define CCP_PATH_JOB CCP_BUS_PATH "/job"
#define CCP_PATH_BLUEPRINT CCP_BUS_PATH "/blueprint"

/* What a call is authorized for */
#define CCP_ACTION_VIEW CCP_BUS_NAME ".view"
#define CCP_ACTION_VIEW_CONFIGURATION CCP_BUS_NAME ".view-configuration"
#define CCP_ACTION_VIEW_METRICS CCP_BUS_NAME ".view-metrics"
#define CCP_ACTION_VIEW_AUDIT CCP_BUS_NAME ".view-audit"
#define CCP_ACTION_VIEW_LOGS CCP_BUS_NAME ".view-logs"
#define CCP_ACTION_OPERATE CCP_BUS_NAME ".operate"
#define CCP_ACTION_CREATE CCP_BUS_NAME ".create"
#define CCP_ACTION_DELETE CCP_BUS_NAME ".delete"
#define CCP_ACTION_RESTORE CCP_BUS_NAME ".restore"
#define CCP_ACTION_DELETE_BACKUP CCP_BUS_NAME ".delete-backup"
#define CCP_ACTION_REVEAL_SECRET CCP_BUS_NAME ".reveal-secret"
#define CCP_ACTION_MANAGE_ALERTS CCP_BUS_NAME ".manage-alerts"
#define CCP_ACTION_MANAGE_KEYS CCP_BUS_NAME ".manage-keys"
#define CCP_ACTION_MANAGE_SETTINGS CCP_BUS_NAME ".manage-settings"
#define CCP_ACTION_MANAGE_STORAGE CCP_BUS_NAME ".manage-storage"
#define CCP_ACTION_MANAGE_ROLES CCP_BUS_NAME ".manage-roles"

/* Errors, on the bus, in the records and in JSON; error.c maps each to an errno */
#define CCP_ERROR(name) CCP_BUS_NAME ".Error." name
#define CCP_ERROR_INVALID_ARGUMENT CCP_ERROR("InvalidArgument")
#define CCP_ERROR_NO_SUCH_INSTANCE CCP_ERROR("NoSuchInstance")
#define CCP_ERROR_NO_SUCH_JOB CCP_ERROR("NoSuchJob")
#define CCP_ERROR_NO_SUCH_BLUEPRINT CCP_ERROR("NoSuchBlueprint")
#define CCP_ERROR_NO_SUCH_ROLE CCP_ERROR("NoSuchRole")
#define CCP_ERROR_NO_SUCH_SERVICE CCP_ERROR("NoSuchService")
#define CCP_ERROR_NO_SUCH_SECRET CCP_ERROR("NoSuchSecret")
#define CCP_ERROR_NO_SUCH_ALERT CCP_ERROR("NoSuchAlert")
#define CCP_ERROR_NO_SUCH_BACKUP CCP_ERROR("NoSuchBackup")
#define CCP_ERROR_NO_SUCH_KEY CCP_ERROR("NoSuchKey")
#define CCP_ERROR_NO_SUCH_CHALLENGE CCP_ERROR("NoSuchChallenge")
#define CCP_ERROR_SLUG_TAKEN CCP_ERROR("SlugTaken")
#define CCP_ERROR_DOMAIN_TAKEN CCP_ERROR("DomainTaken")
#define CCP_ERROR_PORTS_EXHAUSTED CCP_ERROR("PortsExhausted")
#define CCP_ERROR_SUBNETS_EXHAUSTED CCP_ERROR("SubnetsExhausted")
#define CCP_ERROR_BUSY CCP_ERROR("Busy")
#define CCP_ERROR_WRONG_STATE CCP_ERROR("WrongState")
#define CCP_ERROR_NOT_AUTHORIZED CCP_ERROR("NotAuthorized")
#define CCP_ERROR_STORE_UNAVAILABLE CCP_ERROR("StoreUnavailable")
#define CCP_ERROR_ENGINE_UNAVAILABLE CCP_ERROR("EngineUnavailable")
#define CCP_ERROR_ENGINE_FAILED CCP_ERROR("EngineFailed")
#define CCP_ERROR_POLICY_VIOLATION CCP_ERROR("PolicyViolation")
#define CCP_ERROR_BLUEPRINT_INVALID CCP_ERROR("BlueprintInvalid")
#define CCP_ERROR_RENDER_FAILED CCP_ERROR("RenderFailed")
#define CCP_ERROR_UNHEALTHY CCP_ERROR("Unhealthy")
#define CCP_ERROR_KEY_MISSING CCP_ERROR("KeyMissing")
#define CCP_ERROR_BACKUP_DAMAGED CCP_ERROR("BackupDamaged")
#define CCP_ERROR_BACKUP_TOO_NEW CCP_ERROR("BackupTooNew")
#define CCP_ERROR_LIMIT_EXCEEDED CCP_ERROR("LimitExceeded")
#define CCP_ERROR_STORAGE_FAILED CCP_ERROR("StorageFailed")
#define CCP_ERROR_NO_SPACE CCP_ERROR("NoSpace")
#define CCP_ERROR_CANCELLED CCP_ERROR("Cancelled")
#define CCP_ERROR_INTERNAL CCP_ERROR("Internal")

/* MESSAGE_IDs of the journal's lines; the catalog explains them */
#define CCP_MESSAGE_AUDIT_ACCEPTED "a5df4970790447f190e7cb44a178e424"
#define CCP_MESSAGE_AUDIT_SUCCEEDED "070a290e852a4e1ea72fe82fb6145000"
#define CCP_MESSAGE_AUDIT_FAILED "77656ee2a653410dba256623c42ef0ec"
#define CCP_MESSAGE_AUDIT_CANCELLED "3aecbade360b44258fb7d9958c3f506d"
#define CCP_MESSAGE_AUDIT_DENIED "27b3040dafed42c088d01eca9344a59c"
#define CCP_MESSAGE_AUDIT_LOST "0dda4d3352e74ce4984d9b0d3479129a"
#define CCP_MESSAGE_FLEET_RECOVERED "314284d554f54f4c98d51657dd563da1"
#define CCP_MESSAGE_ALERT_FIRING "70e7d2c791964af0b6d9c92154b6942c"
#define CCP_MESSAGE_ALERT_RESOLVED "037455b0846d48a3be6c96b4f06a0fba"

/* Templates of units for jobs: one has the Engine, the other the network. */
#define CCP_JOB_UNIT "ccp-job"
#define CCP_TRANSFER_UNIT "ccp-transfer"
/* All of them lie in it. */
#define CCP_JOBS_SLICE "ccp-jobs.slice"

/* Where things lie. Build options do not move them: units, sysusers and the man pages name them too. */
#define CCP_STATE_DIR "/var/lib/ccpd"
#define CCP_INSTANCES_DIR CCP_STATE_DIR "/instances"
#define CCP_BACKUPS_DIR CCP_STATE_DIR "/backups"
/* In it: what somebody writes to be imported. */
#define CCP_IMPORT_PREFIX ".import-"
#define CCP_REVISIONS_FOLDER "revisions" /* in the folder of an instance */
#define CCP_TEMPLATES_DIR "/usr/share/ccpd/templates"
#define CCP_TEMPLATES_LOCAL_DIR "/etc/ccpd/templates"
#define CCP_NOTIFY_SOCKET "/run/ccpd/notify"
#define CCP_DOCTOR_SOCKET "/run/ccpd/doctor"
#define CCP_LOGS_SOCKET "/run/ccpd/logs"
#define CCP_STORAGE_SOCKET "/run/ccpd/storage"
#define CCP_DOCKER_SOCKET "/run/docker.sock"
/* There while instances may start: from when the Engine is up until right before it is stopped */
#define CCP_GATE "/run/ccp-gate/open"
#define CCP_MASTER_KEY_CREDENTIAL "ccpd.master-key"
/* What takes its place; the same once it has */
#define CCP_NEXT_MASTER_KEY_CREDENTIAL "ccpd.master-key-next"
#define CCP_STORE_CONNINFO "dbname=ccpd application_name=ccpd"

/* Labels on everything that the engine keeps for an instance */
#define CCP_LABEL_INSTANCE "ccp.instance"
#define CCP_LABEL_ID "ccp.id"
#define CCP_LABEL_REVISION "ccp.revision"
#define CCP_LABEL_SERVICE "ccp.service"

/* The compose project of an instance is its slug and this: never the bare slug, which a project that is not
 * ours may already bear. No slug has an underscore, so the slug ends where the first one is: what compose calls
 * after its project, by PROJECT-SERVICE or PROJECT_NAME, is not what it calls so for any other instance. */
#define CCP_PROJECT_SUFFIX "_ccp"
