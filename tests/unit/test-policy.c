/* SPDX-License-Identifier: LGPL-2.1-or-later */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "alloc-util.h"
#include "fd-util.h"
#include "fs-util.h"
#include "policy.h"
#include "string-util.h"
#include "strv.h"
#include "test.h"

#define DIR "/var/lib/ccpd/instances/demo"
#define REV DIR "/revisions/3"

static const uint16_t ports[] = { 10000, 14000 };
static const Subnet subnet = { 0x0AC80040, 26 };

static const PolicyInput input = {
        .project = "demo_ccp",
        .directory = DIR,
        .revision = REV,
        .compose = "docker-compose.yml",
        .bind_address = "127.0.0.1",
        .ports = ports,
        .n_ports = ELEMENTSOF(ports),
        .subnet = &subnet,
};

/* What compose 2.26 prints for an ordinary project */
static const char good[] =
                "{'name': 'demo_ccp',"
                " 'configs': {'c1': {'name': 'demo_ccp_c1', 'content': 'x'},"
                "             'c2': {'name': 'demo_ccp_c2', 'file': '" REV "/c2'}},"
                " 'secrets': {'s1': {'name': 'demo_ccp_s1', 'environment': 'X'}},"
                " 'networks': {'back': {'name': 'demo_ccp_back', 'ipam': {}, 'internal': true},"
                "              'default': {'name': 'demo_ccp_default', 'driver': 'bridge',"
                "                          'ipam': {'config': [{'subnet': '10.200.0.64/27'}]}}},"
                " 'volumes': {'data': {'name': 'demo_ccp_data'}, 'logs': {'name': 'demo_ccp_logs', "
                "'driver': 'local'}},"
                " 'x-common': {'restart': 'always'},"
                " 'services': {"
                "  'db': {'command': null, 'entrypoint': null, 'image': 'postgres:16', 'networks': "
                "{'default': null},"
                "   'cap_drop': ['ALL'], 'cap_add': ['CHOWN', 'CAP_SETUID'], 'security_opt': "
                "['no-new-privileges:true'],"
                "   'deploy': {'resources': {'limits': {'cpus': 0.5, 'memory': '104857600'}}, 'placement': "
                "{}},"
                "   'healthcheck': {'test': ['CMD', 'true'], 'interval': '5s'}, 'restart': 'unless-stopped',"
                "   'volumes': [{'type': 'volume', 'source': 'data', 'target': '/d', 'volume': {}},"
                "               {'type': 'volume', 'target': '/anonymous', 'volume': {}},"
                "               {'type': 'tmpfs', 'target': '/t', 'tmpfs': {'size': '1000'}}]},"
                "  'web': {'profiles': ['media'], 'command': ['a'], 'entrypoint': null, 'image': "
                "'demo_ccp-web:1',"
                "   'build': {'context': '" DIR
                "/source/web', 'dockerfile': 'docker/Dockerfile', 'args': {'A': 'b'}},"
                "   'depends_on': {'db': {'condition': 'service_healthy', 'required': true}},"
                "   'environment': {'A': '$$x'}, 'labels': {'a.b': 'c'}, 'stop_grace_period': '10s',"
                "   'extra_hosts': ['host.docker.internal=host-gateway'], 'network_mode': 'service:db',"
                "   'ports': [{'mode': 'ingress', 'host_ip': '127.0.0.1', 'target': 80, 'published': "
                "'10000',"
                "              'protocol': 'tcp'}],"
                "   'secrets': [{'source': 's1', 'target': '/run/secrets/s1'}],"
                "   'volumes': [{'type': 'bind', 'source': '" REV
                "/nginx/nginx.conf', 'target': '/etc/nginx/nginx.conf',"
                "                'read_only': true, 'bind': {'create_host_path': true}},"
                "               {'type': 'bind', 'source': '" DIR "/data', 'target': '/data',"
                "                'read_only': true, 'bind': {'create_host_path': true}}]}}}";

static json_t *parse(const char *text) {
        _cleanup_free_ char *copy = strdup(text);
        json_error_t error;
        json_t *json;

        for (char *p = copy; *p; p++)
                if (*p == '\'')
                        *p = '"';
        json = json_loads(copy, JSON_DECODE_ANY, &error);
        ck_assert_msg(json != NULL, "%s: %s", text, error.text);
        return json;
}

static void check(const json_t *config, const PolicyInput *in, PolicyViolations *ret) {
        *ret = (PolicyViolations) {};
        ASSERT_OK(policy_check(config, in, ret));
        FOREACH_ARRAY(v, ret->items, ret->n) {
                ck_assert_ptr_nonnull(policy_rule_to_string(v->rule));
                ck_assert(string_is_safe(v->message) && string_is_safe(v->path));
                ck_assert(!v->service || string_is_safe(v->service));
        }
}

/* The good project with keys put into its service web, and into the whole. */
static json_t *make_config(const char *service, const char *top) {
        json_t *config = parse(good);

        if (service) {
                _cleanup_json_ json_t *keys = parse(service);

                ASSERT_OK(json_object_update(
                                json_object_get(json_object_get(config, "services"), "web"), keys));
        }
        if (top) {
                _cleanup_json_ json_t *keys = parse(top);

                ASSERT_OK(json_object_update_recursive(config, keys));
        }

        return config;
}

START_TEST(an_ordinary_project_passes) {
        _cleanup_policy_violations_ PolicyViolations v = {};
        _cleanup_json_ json_t *config = parse(good);
        _cleanup_error_ Error e = {};

        check(config, &input, &v);
        ck_assert_msg(v.n == 0, "%s %s", v.items[0].path, v.items[0].message);
        ASSERT_OK(policy_violations_to_error(&v, &e));
        ck_assert(!error_is_set(&e));
}
END_TEST

static const struct {
        const char *service, *top, *rule, *path;
} bad[] = {
        { "{'privileged': true}", NULL, "privileged", "services.web.privileged" },
        { "{'privileged': 'true'}", NULL, "privileged", NULL },
        { "{'network_mode': 'host'}", NULL, "host-network", "services.web.network_mode" },
        { "{'network_mode': 'container:other'}", NULL, "host-network", NULL },
        { "{'network_mode': 'bridge'}", NULL, "host-network", NULL },
        { "{'network_mode': 'service:../x'}", NULL, "host-network", NULL },
        { "{'pid': 'host'}", NULL, "host-pid", NULL },
        { "{'pid': 'container:x'}", NULL, "host-pid", NULL },
        { "{'ipc': 'host'}", NULL, "host-ipc", NULL },
        { "{'ipc': 'container:x'}", NULL, "host-ipc", NULL },
        { "{'uts': 'host'}", NULL, "host-uts", NULL },
        { "{'userns_mode': 'host'}", NULL, "host-userns", NULL },
        { "{'cgroup': 'host'}", NULL, "host-cgroup", NULL },
        { "{'cgroup_parent': '/system.slice'}", NULL, "cgroup-parent", NULL },
        { "{'devices': [{'source': '/dev/sda', 'target': '/dev/sda', 'permissions': 'rwm'}]}", NULL,
                        "devices", NULL },
        { "{'device_cgroup_rules': ['c 1:3 mr']}", NULL, "devices", NULL },
        { "{'gpus': [{'count': -1}]}", NULL, "devices", NULL },
        { "{'deploy': {'resources': {'reservations': {'devices': [{'count': -1}]}}}}", NULL, "devices",
                        "services.web.deploy.resources.reservations.devices" },
        { "{'cap_add': ['SYS_ADMIN']}", NULL, "capabilities", NULL },
        { "{'cap_add': ['ALL']}", NULL, "capabilities", NULL },
        { "{'cap_add': ['CAP_NET_ADMIN']}", NULL, "capabilities", NULL },
        { "{'cap_add': 'ALL'}", NULL, "capabilities", NULL },
        { "{'security_opt': ['apparmor:unconfined']}", NULL, "security-opt", NULL },
        { "{'security_opt': ['no-new-privileges:false']}", NULL, "security-opt", NULL },
        { "{'security_opt': 'seccomp:unconfined'}", NULL, "security-opt", NULL },
        { "{'container_name': 'x'}", NULL, "container-name", NULL },
        { "{'runtime': 'runc'}", NULL, "runtime", NULL },
        { "{'sysctls': {'kernel.shmmax': '1'}}", NULL, "sysctls", NULL },
        { "{'volumes_from': ['container:x']}", NULL, "volumes-from", NULL },
        { "{'logging': {'driver': 'syslog'}}", NULL, "logging", NULL },
        { "{'labels': {'ccp.instance': 'other'}}", NULL, "labels", NULL },
        { "{'labels': ['ccp.id=1']}", NULL, "labels", NULL },
        { "{'labels': 7}", NULL, "unknown-key", NULL },
        { "{'build': {'context': '" DIR "/source', 'labels': {'ccp.x': ''}}}", NULL, "labels", NULL },
        { "{'use_api_socket': true}", NULL, "docker-socket", NULL },
        { "{'external_links': ['x']}", NULL, "external-network", NULL },
        { "{'env_file': ['/etc/passwd']}", NULL, "extra-file", NULL },
        { "{'env_file': [{'path': '/etc/passwd', 'required': false}]}", NULL, "extra-file", NULL },
        { "{'env_file': '" DIR "/../x'}", NULL, "extra-file", NULL },
        { "{'label_file': ['/etc/passwd']}", NULL, "extra-file", NULL },
        { "{'post_start': [{'command': ['x'], 'privileged': true}]}", NULL, "privileged",
                        "services.web.post_start[0].privileged" },

        /* Keys that reach the host in ways of their own, or do not exist */
        { "{'annotations': {'run.oci.handler': 'x'}}", NULL, "unknown-key", "services.web.annotations" },
        { "{'credential_spec': {'file': 'x'}}", NULL, "unknown-key", NULL },
        { "{'provider': {'type': 'sh'}}", NULL, "unknown-key", NULL },
        { "{'oom_score_adj': -1000}", NULL, "unknown-key", NULL },
        { "{'cpu_rt_runtime': 950000}", NULL, "unknown-key", NULL },
        { "{'blkio_config': {'device_read_bps': [{'Path': '/dev/sda'}]}}", NULL, "unknown-key", NULL },
        { "{'storage_opt': {'size': '1'}}", NULL, "unknown-key", NULL },
        { "{'Privileged': true}", NULL, "unknown-key", NULL },
        { "{'no such key \\u001b': 1}", NULL, "unknown-key", NULL },
        { "{'deploy': {'nosuch': 1}}", NULL, "unknown-key", NULL },
        { "{'deploy': []}", NULL, "unknown-key", NULL },

        { "{'ports': [{'host_ip': '127.0.0.1', 'target': 80, 'published': '22'}]}", NULL, "foreign-port",
                        "services.web.ports[0]" },
        { "{'ports': [{'host_ip': '127.0.0.1', 'target': 80, 'published': 10001}]}", NULL, "foreign-port",
                        NULL },
        { "{'ports': [{'host_ip': '127.0.0.1', 'target': 80, 'published': '10000-10001'}]}", NULL,
                        "foreign-port", NULL },
        { "{'ports': [{'host_ip': '127.0.0.1', 'target': 80, 'published': '010000'}]}", NULL, "foreign-port",
                        NULL },
        { "{'ports': [{'host_ip': '127.0.0.1', 'target': 80, 'published': ''}]}", NULL, "foreign-port",
                        NULL },
        { "{'ports': [{'host_ip': '127.0.0.1', 'target': 80}]}", NULL, "foreign-port", NULL },
        { "{'ports': [{'target': 80, 'published': '10000'}]}", NULL, "foreign-port", NULL },
        { "{'ports': [{'host_ip': '0.0.0.0', 'target': 80, 'published': '10000'}]}", NULL, "foreign-port",
                        NULL },
        { "{'ports': ['80:80']}", NULL, "foreign-port", NULL },
        { "{'ports': {'a': 1}}", NULL, "unknown-key", NULL },

        { "{'volumes': [{'type': 'bind', 'source': '/etc', 'target': '/x'}]}", NULL, "bind-outside",
                        "services.web.volumes[0]" },
        { "{'volumes': [{'type': 'bind', 'source': '/etc', 'target': '/x', 'read_only': true}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'target': '/x'}]}", NULL, "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/d', 'target': '/x'}]}", NULL, "bind-writable",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/d', 'target': '/x', 'read_only': false}]}", NULL,
                        "bind-writable", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "-other/x', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/../other', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/./x', 'target': '/x'}]}", NULL, "bind-outside",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "//x', 'target': '/x'}]}", NULL, "bind-outside",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': 'x', 'target': '/x'}]}", NULL, "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR
          "/x', 'target': '/x', 'bind': {'propagation': 'rshared'}}]}",
                        NULL, "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/x', 'target': '/x', 'bind': {'nosuch': 1}}]}",
                        NULL, "unknown-key", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/run/docker.sock', 'target': '/x'}]}", NULL,
                        "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/var/run/docker.sock', 'target': '/x'}]}", NULL,
                        "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/var/run', 'target': '/x'}]}", NULL, "docker-socket",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/run', 'target': '/x'}]}", NULL, "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/var', 'target': '/x'}]}", NULL, "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/', 'target': '/x', 'read_only': true}]}", NULL,
                        "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/srv/../run/docker.sock', 'target': '/x'}]}", NULL,
                        "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/proc/1/root/run/docker.sock', 'target': '/x'}]}", NULL,
                        "docker-socket", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '/run/containerd/containerd.sock', 'target': '/x'}]}",
                        NULL, "docker-socket", NULL },
        { "{'volumes': [{'type': 'npipe', 'source': 'x', 'target': '/x'}]}", NULL, "unknown-key", NULL },
        { "{'volumes': [{'source': 'data', 'target': '/x'}]}", NULL, "unknown-key", NULL },
        { "{'volumes': ['/etc:/x']}", NULL, "unknown-key", NULL },
        { "{'volumes': [{'type': 'volume', 'source': 'nosuch', 'target': '/x'}]}", NULL, "external-volume",
                        NULL },
        { "{'volumes': [{'type': 'volume', 'source': '/etc', 'target': '/x'}]}", NULL, "external-volume",
                        NULL },

        /* What the host opens later must not lie where a container can write */
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "', 'target': '/x'}]}", NULL, "bind-outside",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" REV "', 'target': '/x'}]}", NULL, "bind-outside",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/revisions', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/revisions/2/x', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" REV "/.env', 'target': '/x'}]}", NULL, "bind-outside",
                        NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" REV "/.ccp-blueprint.yaml', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/current', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR
          "/current/x', 'target': '/x', 'read_only': true}]}",
                        NULL, "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/.ccp', 'target': '/x'}]}", NULL, "bind-outside",
                        NULL },
        { "{'build': {'context': '" DIR "/current/x'}}", NULL, "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" REV "/docker-compose.yml', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/d', 'target': '/x'},"
          " {'type': 'bind', 'source': '" DIR "/d/e', 'target': '/y', 'read_only': true}]}",
                        NULL, "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/source', 'target': '/x'}]}", NULL,
                        "bind-outside", NULL },
        { "{'volumes': [{'type': 'bind', 'source': '" DIR "/d', 'target': '/x'}]}",
                        "{'configs': {'c': {'file': '" DIR "/d/link'}}}", "bind-outside", NULL },

        { "{'build': {'context': '/etc'}}", NULL, "build-outside", "services.web.build.context" },
        { "{'build': {'context': 'https://example.org/x.git'}}", NULL, "build-outside", NULL },
        { "{'build': {'context': '" DIR "/s', 'dockerfile': '../../Dockerfile'}}", NULL, "build-outside",
                        NULL },
        { "{'build': {'context': '" DIR "/s', 'dockerfile': '/etc/passwd'}}", NULL, "build-outside", NULL },
        { "{'build': {'context': '" DIR "/s', 'additional_contexts': {'a': '/etc'}}}", NULL, "build-outside",
                        NULL },
        { "{'build': {'context': '" DIR "/s', 'additional_contexts': {'a': 'oci-layout:///etc'}}}", NULL,
                        "build-outside", NULL },
        { "{'build': {'context': '" DIR "/s', 'cache_to': ['type=local,dest=/etc']}}", NULL, "build-outside",
                        NULL },
        { "{'build': {'context': '" DIR "/s', 'network': 'host'}}", NULL, "host-network", NULL },
        { "{'build': {'context': '" DIR "/s', 'privileged': true}}", NULL, "privileged", NULL },
        { "{'build': {'context': '" DIR "/s', 'entitlements': ['security.insecure']}}", NULL, "privileged",
                        NULL },
        { "{'build': {'context': '" DIR "/s', 'ssh': ['default']}}", NULL, "extra-file", NULL },
        { "{'build': {'context': '" DIR "/s', 'tags': ['postgres:16']}}", NULL, "unknown-key", NULL },
        { "{'build': {'context': '" DIR "/s'}, 'image': 'postgres:16'}", NULL, "build-outside",
                        "services.web.image" },
        { "{'build': {'context': '" DIR "/s'}, 'image': 'demo2_ccp-api'}", NULL, "build-outside", NULL },
        { "{'build': {'context': '" DIR "/s'}, 'image': 'demo-two_ccp-api'}", NULL, "build-outside", NULL },
        { "{'build': {'context': '" DIR "/s'}, 'image': 'example.org/demo_ccp-api'}", NULL, "build-outside",
                        NULL },
        { "{'build': '/etc'}", NULL, "unknown-key", NULL },

        { NULL, "{'name': 'other'}", "external-network", "name" },
        { NULL, "{'nosuch': 1}", "unknown-key", "nosuch" },
        { NULL, "{'include': ['x']}", "unknown-key", NULL },
        { NULL, "{'services': {'web': 1}}", "unknown-key", "services.web" },
        { NULL, "{'services': {'../x': {}}}", "unknown-key", NULL },
        { NULL, "{'networks': {'e': {'name': 'e', 'external': true}}}", "external-network", NULL },
        { NULL, "{'networks': {'e': {'name': 'demo2_ccp_e'}}}", "external-network", "networks.e.name" },
        { NULL, "{'networks': {'e': {'name': 'demo_ccp'}}}", "external-network", NULL },
        { NULL, "{'networks': {'e': {'driver': 'macvlan', 'driver_opts': {'parent': 'eth0'}}}}",
                        "host-network", NULL },
        { NULL, "{'networks': {'e': {'driver': 'host'}}}", "host-network", NULL },
        { NULL, "{'networks': {'e': {'driver_opts': {'com.docker.network.bridge.name': 'docker0'}}}}",
                        "unknown-key", "networks.e.driver_opts.com.docker.network.bridge.name" },
        { NULL, "{'networks': {'e': {'ipam': {'config': [{'subnet': '10.0.0.0/8'}]}}}}", "foreign-subnet",
                        "networks.e.ipam.config[0].subnet" },
        { NULL, "{'networks': {'e': {'ipam': {'config': [{'subnet': 'fd00::/64'}]}}}}", "foreign-subnet",
                        NULL },
        { NULL, "{'networks': {'e': {'ipam': {'driver': 'x'}}}}", "unknown-key", NULL },
        { NULL, "{'networks': {'e': {'labels': {'ccp.id': '1'}}}}", "labels", NULL },
        { NULL, "{'volumes': {'e': {'name': 'e', 'external': true}}}", "external-volume", NULL },
        { NULL, "{'volumes': {'e': {'name': 'other_e'}}}", "external-volume", NULL },
        { NULL, "{'volumes': {'e': {'driver_opts': {'type': 'none', 'o': 'bind', 'device': '/etc'}}}}",
                        "volume-driver-opts", NULL },
        { NULL, "{'volumes': {'e': {'driver': 'rclone'}}}", "volume-driver-opts", NULL },
        { NULL, "{'secrets': {'e': {'file': '/etc/shadow'}}}", "extra-file", "secrets.e.file" },
        { NULL, "{'secrets': {'e': {'external': true}}}", "extra-file", NULL },
        { NULL, "{'configs': {'e': {'file': '" DIR "/../x'}}}", "extra-file", NULL },
        { NULL, "{'configs': {'e': {'driver': 'x'}}}", "unknown-key", NULL },
};

START_TEST(what_reaches_the_host_is_refused) {
        FOREACH_ARRAY(c, bad, ELEMENTSOF(bad)) {
                _cleanup_policy_violations_ PolicyViolations v = {};
                _cleanup_json_ json_t *config = make_config(c->service, c->top);
                const char *what = c->service ?: c->top;
                bool found = false;

                check(config, &input, &v);
                ck_assert_msg(v.n > 0, "passed: %s", what);
                FOREACH_ARRAY(i, v.items, v.n)
                        if (streq(policy_rule_to_string(i->rule), c->rule) &&
                                        (!c->path || streq(i->path, c->path)))
                                found = true;
                ck_assert_msg(found, "%s: %s at %s", what, policy_rule_to_string(v.items[0].rule),
                                v.items[0].path);
                if (!c->top)
                        ck_assert_str_eq(strempty(v.items[0].service), "web");
        }
}
END_TEST

/* Each rule has a case above, so that none can lose its effect unnoticed. */
START_TEST(each_rule_has_a_case) {
        for (PolicyRule rule = 0; rule < _POLICY_RULE_MAX; rule++) {
                bool found = false;

                FOREACH_ARRAY(c, bad, ELEMENTSOF(bad))
                        found = found || streq(c->rule, policy_rule_to_string(rule));
                ck_assert_msg(found, "%s", policy_rule_to_string(rule));
        }
}
END_TEST

START_TEST(an_exception_silences_its_rule_only) {
        PolicyInput allowed = input;
        _cleanup_policy_violations_ PolicyViolations v = {}, w = {}, x = {};
        _cleanup_json_ json_t *devices =
                        make_config("{'devices': [{'source': '/dev/fuse'}], 'pid': 'host'}", NULL);
        _cleanup_json_ json_t
                        *socket = make_config(
                                        "{'volumes': [{'type': 'bind', 'source': '/run', 'target': '/x'}]}",
                                        NULL),
                        *writable = make_config("{'volumes': [{'type': 'bind', 'source': '" DIR
                                                "/d', 'target': '/x'}]}",
                                        NULL);

        allowed.allowed = POLICY_RULE_BIT(POLICY_DEVICES);
        check(devices, &allowed, &v);
        ck_assert_uint_eq(v.n, 1);
        ck_assert_int_eq(v.items[0].rule, POLICY_HOST_PID);

        /* A bind mount from outside may be allowed: the socket is not. */
        allowed.allowed = POLICY_RULE_BIT(POLICY_BIND_OUTSIDE);
        check(socket, &allowed, &w);
        ck_assert_uint_eq(w.n, 1);
        ck_assert_int_eq(w.items[0].rule, POLICY_DOCKER_SOCKET);

        allowed.allowed = POLICY_RULE_BIT(POLICY_BIND_WRITABLE);
        check(writable, &allowed, &x);
        ck_assert_uint_eq(x.n, 0);
}
END_TEST

START_TEST(other_shapes_are_refused) {
        static const char *const texts[] = { "[]", "1", "null", "'x'", "{}", "{'services': null}",
                "{'services': {}}", "{'services': []}", "{'services': {'a': null}}",
                "{'services': {'a': []}}", "{'services': {'a': {}}, 'networks': []}",
                "{'services': {'a': {}}, 'networks': {'x': 1}}", "{'services': {'a': {}}, 'volumes': 'x'}",
                "{'services': {'a': {'volumes': {}}}}", "{'services': {'a': {'volumes': [[]]}}}",
                "{'services': {'a': {'build': []}}}", "{'services': {'a': {'networks': []}}}",
                "{'services': {'a': {'env_file': [[]]}}}" };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                _cleanup_policy_violations_ PolicyViolations v = {};
                _cleanup_json_ json_t *config = parse(*t);

                check(config, &input, &v);
                ck_assert_msg(v.n > 0, "passed: %s", *t);
        }
}
END_TEST

START_TEST(the_number_of_violations_is_limited) {
        _cleanup_policy_violations_ PolicyViolations v = {};
        _cleanup_json_ json_t *config = parse(good);
        _cleanup_error_ Error e = {};

        for (unsigned i = 0; i < 1000; i++) {
                char key[16];

                (void) snprintf(key, sizeof(key), "key%u", i);
                ASSERT_OK(json_object_set_new(config, key, json_true()));
        }
        check(config, &input, &v);
        ck_assert_uint_eq(v.n, POLICY_VIOLATIONS_MAX);
        ASSERT_ERROR(policy_violations_to_error(&v, &e), EPERM);
        ck_assert_str_eq(e.name, CCP_ERROR_POLICY_VIOLATION);
        ck_assert_ptr_nonnull(strstr(e.message, "And 95 more."));
}
END_TEST

static size_t count_text_violations(const char *text, char ***ret_files) {
        _cleanup_policy_violations_ PolicyViolations v = {};

        ASSERT_OK(policy_check_text(text, strlen(text), &input, &v, ret_files));
        FOREACH_ARRAY(i, v.items, v.n)
                ck_assert_int_eq(i->rule, POLICY_EXTRA_FILE);
        return v.n;
}

START_TEST(files_that_compose_reads_are_seen_in_its_text) {
        static const char text[] =
                        "x-common: &c\n  env_file: [./a.env, {path: b/c.env, required: false}]\n"
                        "services:\n  a:\n    <<: *c\n    image: x\n    extends: {service: b}\n"
                        "  b: {env_file: '" DIR "/d.env', environment: {include: yes, extends: no}}\n";
        _cleanup_strv_free_ char **files = NULL;

        ck_assert_uint_eq(count_text_violations(text, &files), 0);
        ck_assert_uint_eq(strv_length(files), 3);
        ck_assert_str_eq(files[0], REV "/a.env");
        ck_assert_str_eq(files[1], REV "/b/c.env");
        ck_assert_str_eq(files[2], DIR "/d.env");
}
END_TEST

START_TEST(files_from_elsewhere_are_refused) {
        static const char *const texts[] = {
                "include: [x.yml]\nservices: {}\n",
                "include: x.yml\n",
                "services: {a: {env_file: /etc/passwd}}\n",
                "services: {a: {env_file: ../../../other/.env}}\n",
                "services: {a: {env_file: [a.env, '${HOME}/x']}}\n",
                "services: {a: {env_file: [{path: /etc/passwd}]}}\n",
                "services: {a: {env_file: [[]]}}\n",
                "services: {a: {env_file: {a: b}}}\n",
                "services: {a: {label_file: /etc/passwd}}\n",
                "services: {a: {extends: {file: ../x.yml, service: b}}}\n",
                "services: {a: {\"env\\x5ffile\": /etc/passwd}}\n",
                "x: &x {env_file: /etc/passwd}\nservices: {a: {<<: *x}}\n",
                "x-a: &a {include: [/etc/x.yml]}\n<<: *a\nservices: {}\n",
                "x-a: &a {include: [/etc/x.yml]}\n\"<<\": [*a]\nservices: {}\n",
                "<<: {include: [/etc/x.yml]}\nservices: {}\n",
                "x-a: &a {file: /etc/x.yml}\nservices: {a: {extends: {<<: *a, service: b}}}\n",
                "!!binary aW5jbHVkZQ==: [/etc/x.yml]\nservices: {}\n",
                "services: {a: {!!binary ZW52X2ZpbGU=: /etc/passwd}}\n",
                "services: {a: {extends: {!!binary ZmlsZQ==: /etc/x.yml, service: b}}}\n",
                "x: &x env_file\nservices: {a: {*x : /etc/passwd}}\n",
                "? [a]\n: b\n",
                "- a\n",
                "",
                "a: [\n",
                "a: 1\n---\ninclude: [x]\n",
                "a: 1\n---\n[\n",
        };

        FOREACH_ARRAY(t, texts, ELEMENTSOF(texts)) {
                _cleanup_strv_free_ char **files = NULL;

                ck_assert_msg(count_text_violations(*t, &files) > 0, "passed: %s", *t);
        }
}
END_TEST

START_TEST(files_that_compose_reads_may_not_lie_in_a_writable_folder) {
        _cleanup_policy_violations_ PolicyViolations v = {};
        _cleanup_json_ json_t *config = make_config(
                        "{'volumes': [{'type': 'bind', 'source': '" DIR "/data', 'target': '/x'}]}", NULL);
        char *const files[] = { (char *) DIR "/data/x.env", NULL };
        PolicyInput with_files = input;

        with_files.files = files;
        with_files.allowed = POLICY_RULE_BIT(POLICY_BIND_WRITABLE);
        check(config, &with_files, &v);
        ck_assert_uint_eq(v.n, 1);
        ck_assert_int_eq(v.items[0].rule, POLICY_BIND_OUTSIDE);
}
END_TEST

/* A link of the source tree that leads into a folder which a container can write leads wherever the container
 * wants. */
START_TEST(links_are_not_followed) {
        static const struct {
                const char *path;
                size_t n;
        } cases[] = { { "data", 0 }, { "nosuch/x", 0 }, { "data/file/x", 0 }, { "link", 1 }, { "link/x", 1 },
                { "dangling", 1 } };
        char directory[] = "/tmp/ccpd-policy-XXXXXX";
        _cleanup_close_ int fd = -EBADF;
        PolicyInput in = input;

        ck_assert_ptr_nonnull(mkdtemp(directory));
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        ck_assert_int_ge(fd, 0);
        ck_assert_int_ge(mkdirat(fd, "data", 0700), 0);
        ASSERT_OK(write_file_beneath(fd, "data/file", "", 0, 0600));
        ck_assert_int_ge(symlinkat("data", fd, "link"), 0);
        ck_assert_int_ge(symlinkat("data/nosuch", fd, "dangling"), 0);

        in.directory = directory;
        FOREACH_ARRAY(c, cases, ELEMENTSOF(cases)) {
                _cleanup_policy_violations_ PolicyViolations v = {}, w = {};
                _cleanup_json_ json_t *mount = NULL, *build = NULL;

                mount = json_pack("{s:{s:{s:[{s:s, s:s++}]}}}", "services", "a", "volumes", "type", "bind",
                                "source", directory, "/", c->path);
                build = json_pack("{s:{s:{s:{s:s++}}}}", "services", "a", "build", "context", directory, "/",
                                c->path);
                ck_assert(mount && build);
                ASSERT_OK(policy_check_links(mount, &in, fd, &v));
                ASSERT_OK(policy_check_links(build, &in, fd, &w));
                ck_assert_msg(v.n == c->n && w.n == c->n, "%s", c->path);
        }

        ASSERT_OK(rm_rf_at(fd, "data"));
        ASSERT_OK(rm_rf_at(fd, "link"));
        ASSERT_OK(rm_rf_at(fd, "dangling"));
        ck_assert_int_ge(rmdir(directory), 0);
}
END_TEST

START_TEST(what_a_container_can_write_is_known) {
        _cleanup_json_ json_t *config = json_pack("{s:{s:{s:[{s:s, s:s}, {s:s, s:s, s:b}, {s:s, s:s}]}}}",
                        "services", "a", "volumes", "type", "bind", "source", REV "/data", "type", "bind",
                        "source", REV "/conf", "read_only", true, "type", "volume", "source", "logs");

        ck_assert_ptr_nonnull(config);
        ck_assert(policy_path_is_writable(config, REV "/data"));
        ck_assert(policy_path_is_writable(config, REV "/data/a/b"));
        ck_assert(!policy_path_is_writable(config, REV "/data2"));
        ck_assert(!policy_path_is_writable(config, REV "/conf/a"));
        ck_assert(!policy_path_is_writable(config, REV "/logs"));
        ck_assert(!policy_path_is_writable(config, REV));
}
END_TEST

START_TEST(aliases_do_not_blow_up) {
        static const char text[] = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
                                   "c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
                                   "e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nenv_file: *e\n";
        _cleanup_strv_free_ char **files = NULL;

        ck_assert_uint_gt(count_text_violations(text, &files), 0);
}
END_TEST

TESTS("policy", an_ordinary_project_passes, what_reaches_the_host_is_refused, each_rule_has_a_case,
                an_exception_silences_its_rule_only, other_shapes_are_refused,
                the_number_of_violations_is_limited, files_that_compose_reads_are_seen_in_its_text,
                files_from_elsewhere_are_refused, files_that_compose_reads_may_not_lie_in_a_writable_folder,
                links_are_not_followed, what_a_container_can_write_is_known, aliases_do_not_blow_up)
