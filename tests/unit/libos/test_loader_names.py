"""Which variables the host may set only where the user says that this is not safe."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from enclavize.cli.grammar.policy import parse_allowed_variables
from enclavize.errors import UsageError
from enclavize.libos.loader_names import RULES, is_loader_like, loader_reason
from enclavize.tee.policy import AllowedVariable, Policy
from support.programs import REPOSITORY

DANGEROUS = """
LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT GLIBC_TUNABLES GCONV_PATH LOCPATH NLSPATH MALLOC_TRACE MALLOC_CONF TZDIR
TMPDIR HOSTALIASES RES_OPTIONS LOCALDOMAIN RESOLV_HOST_CONF GMON_OUT_PREFIX
PATH ENV BASH_ENV BASH_FUNC_ls SHELLOPTS BASHOPTS PS4 PROMPT_COMMAND IFS CDPATH ZDOTDIR INPUTRC
EDITOR VISUAL PAGER BROWSER LESSOPEN GIT_SSH_COMMAND GIT_EXEC_PATH GIT_CONFIG_GLOBAL GIT_CONFIG_KEY_0
GIT_ASKPASS SSH_ASKPASS RSYNC_RSH TAR_OPTIONS KUBECONFIG AWS_CONFIG_FILE DBUS_SESSION_BUS_ADDRESS TERMINFO
PYTHONPATH PYTHONSTARTUP PYTHONHOME PYTHONUSERBASE PYTHONINSPECT PIP_INDEX_URL GUNICORN_CMD_ARGS
PERL5LIB PERL5OPT PERL5DB PERLLIB PERLIO_DEBUG RUBYLIB RUBYOPT GEM_HOME BUNDLE_GEMFILE BOOTSNAP_CACHE_DIR
NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_V8_COVERAGE
NODE_REDIRECT_WARNINGS NPM_CONFIG_PREFIX npm_config_script_shell DENO_DIR
JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS _JAVA_OPTIONS JAVA_OPTS ES_JAVA_OPTS CLASSPATH OPENJ9_JAVA_OPTIONS
CORECLR_ENABLE_PROFILING CORECLR_PROFILER CORECLR_PROFILER_PATH CORECLR_PROFILER_PATH_64 COR_PROFILER
COR_ENABLE_PROFILING DOTNET_STARTUP_HOOKS DOTNET_ADDITIONAL_DEPS COMPlus_PerfEnabled
ASPNETCORE_HOSTINGSTARTUPASSEMBLIES MONO_PATH
PHPRC PHP_INI_SCAN_DIR XDEBUG_CONFIG LUA_PATH LUA_PATH_5_4 LUA_CPATH LUA_INIT LUA_INIT_5_3 TCLLIBPATH
R_PROFILE_USER R_LIBS ERL_FLAGS ERL_LIBS ERL_AFLAGS GHCRTS JULIA_LOAD_PATH CAML_LD_LIBRARY_PATH
GODEBUG GOCOVERDIR CARGO_HOME RUSTC_WRAPPER
OPENSSL_CONF OPENSSL_MODULES OPENSSL_ENGINES SSL_CERT_FILE SSL_CERT_DIR SSLKEYLOGFILE CURL_CA_BUNDLE
REQUESTS_CA_BUNDLE AWS_CA_BUNDLE KRB5_CONFIG KRB5_TRACE P11_KIT_STRICT PGSSLROOTCERT PGSSLMODE
ODBCSYSINI OMP_TOOL_LIBRARIES CUDA_INJECTION64_PATH GTK_MODULES QT_PLUGIN_PATH GDAL_DRIVER_PATH
ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS ASAN_SYMBOLIZER_PATH GCOV_PREFIX LLVM_PROFILE_FILE CPUPROFILE
HEAPPROFILE TCMALLOC_SAMPLE_PARAMETER _RJEM_MALLOC_CONF
"""

ORDINARY = """
HOME USER LOGNAME HOSTNAME TZ LANG LC_ALL LANGUAGE TERM PORT HOST TOKEN MODE DEBUG LOG_LEVEL APP_ENV
HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy ALL_PROXY
NODE_ENV RUST_LOG RUST_BACKTRACE GOMAXPROCS GOMEMLIMIT GOGC OMP_NUM_THREADS UV_THREADPOOL_SIZE
ASPNETCORE_URLS ASPNETCORE_ENVIRONMENT DATABASE_URL PGHOST PGUSER PGPASSWORD REDIS_URL MYSQL_ROOT_PASSWORD
AWS_REGION AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN GOOGLE_CLOUD_PROJECT LDAP_URL GIT_SHA
JAVA_VERSION LD ld_preload PS5 SSLKEYLOG CORECLR OPTIONS _OPTIONS SAN_OPTION
"""


@pytest.mark.parametrize("name", DANGEROUS.split())
def test_dangerous_variables_must_be_called_unsafe_and_why_is_told(name: str) -> None:
    with pytest.raises(UsageError, match="other code") as caught:
        parse_allowed_variables([name])
    assert str(caught.value).endswith(loader_reason(name))
    assert f"{name}:unsafe" in (caught.value.hint or "")
    assert parse_allowed_variables([f"{name}:unsafe"]) == (AllowedVariable(name=name, unsafe=True),)


@pytest.mark.parametrize("name", ORDINARY.split())
def test_ordinary_variables_are_opened_by_their_names(name: str) -> None:
    assert parse_allowed_variables([name]) == (AllowedVariable(name=name),)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("LD_", True), ("LD", False), ("XLD_PRELOAD", False), ("Ld_PRELOAD", False),
        ("PS4", True), ("PS4X", False), ("PS", False), ("ps4", False),
        ("npm_config_x", True), ("Npm_Config_X", True), ("NPM_CONFIG", False),
        ("DBUS_SESSION_BUS_ADDRESS", True), ("DBUS_BUS_ADDRESS", False), ("DBUS__BUS_ADDRESS", True),
        ("JAVA_OPTS", True), ("MY_JAVA_OPTS", True), ("JAVA_OPTSX", False),
        ("COMPlus_X", True), ("COMPLUS_X", False),
    ],
)  # fmt: skip
def test_names_match_as_a_whole_or_by_what_stands_beside_the_star(name: str, expected: bool) -> None:
    assert is_loader_like(name) is expected


def test_the_table_is_well_formed() -> None:
    patterns = [pattern for rule in RULES for pattern in rule.patterns]
    assert len(patterns) == len(set(patterns))
    for rule in RULES:
        assert rule.reason
        assert rule.source
        for pattern in rule.patterns:
            assert pattern.count("*") <= 1
            assert pattern.replace("*", "").replace("_", "").isalnum()


def test_the_table_of_the_libos_was_written_from_this_one() -> None:
    spec = importlib.util.spec_from_file_location(
        "native_loader_names", REPOSITORY / "native" / "loader_names.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    assert module.TABLE.read_text() == module.table(), "run: make loader-names"


def test_another_version_may_have_marked_other_names() -> None:
    """An image stays what it was, where the LibOS measures names alone."""
    found = Policy(allowed_environment=(AllowedVariable(name="A", unsafe=True), AllowedVariable(name="B")))
    said = Policy(allowed_environment=(AllowedVariable(name="A"),), allow_arguments=True)
    assert found.with_marks_of(said) == Policy(
        allowed_environment=(AllowedVariable(name="A"), AllowedVariable(name="B"))
    )
