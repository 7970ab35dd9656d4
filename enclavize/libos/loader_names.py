"""Names of variables by which the host could make a program run other code, or give away what it protects.

Such a variable can be opened to the host as ``NAME:unsafe`` only. The builtin LibOS looks at the same table:
``native/loader_names.py`` writes it for the C compiler.

Not here are variables that most services are set up with, and that lead no further than to the network and
the volumes that the host has in its hands anyway: ``HTTP_PROXY`` and its kin, ``HOME``, ``TZ``, ``LANG``,
addresses and credentials of databases.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LoaderRule:
    """Patterns of names, what makes these dangerous, and who says so.

    In a pattern, one ``*`` stands for any characters, or none. ``any_case`` rules are for programs that do
    not tell capital letters from small ones.
    """

    reason: str
    source: str
    patterns: tuple[str, ...]
    any_case: bool = False

    def matches(self, name: str) -> bool:
        """Tell whether the rule is about a name."""
        if self.any_case:
            return any(_matches(pattern.lower(), name.lower()) for pattern in self.patterns)
        return any(_matches(pattern, name) for pattern in self.patterns)


def _matches(pattern: str, name: str) -> bool:
    start, star, end = pattern.partition("*")
    if not star:
        return name == pattern
    return len(name) >= len(start) + len(end) and name.startswith(start) and name.endswith(end)


def _rule(reason: str, source: str, patterns: str, *, any_case: bool = False) -> LoaderRule:
    return LoaderRule(reason=reason, source=source, patterns=tuple(patterns.split()), any_case=any_case)


RULES = (
    _rule(
        "the dynamic loader loads libraries by it", "ld.so(8); ldso/dynlink.c of musl; dyld(1)",
        "LD_* DYLD_* _RLD*",
    ),
    _rule(
        "the C library loads code, reads or writes files by it",
        "UNSECURE_ENVVARS in sysdeps/generic/unsecvars.h of glibc; locale(7), catopen(3), memusage(1); "
        "src/locale of musl",
        """
        GCONV_PATH GETCONF_DIR GLIBC_* LOCPATH MUSL_LOCPATH NLSPATH PATH_LOCALE MALLOC_* NIS_PATH TZDIR
        MEMUSAGE_* PCPROFILE_OUTPUT SEGFAULT_* GMON_OUT_PREFIX
        """,
    ),
    _rule(
        "temporary files stand where it says, which are secret or run",
        "tmpnam(3), mktemp(1), unsecvars.h of glibc",
        "TMPDIR TMP TEMP TEMPDIR TMPPREFIX",
    ),
    _rule(
        "names of hosts lead elsewhere by it", "resolv.conf(5), hostname(7), resolv/res_hconf.c of glibc",
        "HOSTALIASES RESOLV_* RES_OPTIONS LOCALDOMAIN",
    ),
    _rule(
        "a shell runs other programs by it, or the text that is in it",
        "POSIX.1-2017, XCU 2.5.3, 2.6.5; bash(1), dash(1), zshparam(1); initial_badenv_table in "
        "plugins/sudoers/env.c of sudo",
        """
        PATH ENV BASH_ENV BASH_FUNC_* BASHOPTS SHELLOPTS BASH_LOADABLES_PATH BASH_XTRACEFD PS0 PS1 PS2 PS4
        PROMPT_COMMAND* IFS CDPATH HISTFILE INPUTRC ZDOTDIR FPATH NULLCMD READNULLCMD GLOBIGNORE SHELL
        """,
    ),
    _rule(
        "programs run the command that it names", "environ(7); the manual of each",
        """
        EDITOR VISUAL FCEDIT SUDO_EDITOR PAGER MANPAGER PSQL_EDITOR PSQL_PAGER SYSTEMD_PAGER BROWSER LESSOPEN
        LESSCLOSE LESSEDIT SSH_ASKPASS* SUDO_ASKPASS RSYNC_RSH RSYNC_CONNECT_PROG CVS_RSH SVN_SSH SVN_EDITOR
        BORG_RSH HGEDITOR HGMERGE TAR_OPTIONS DBUS_*_BUS_ADDRESS
        """,
    ),
    _rule(
        "git runs commands, trusts others or writes files by it", "git(1), git-config(1)",
        """
        GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_ASKPASS GIT_ATTR_* GIT_CONFIG* GIT_DIR GIT_EDITOR GIT_EXEC_PATH
        GIT_EXTERNAL_DIFF GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_PAGER GIT_PROXY_* GIT_SEQUENCE_EDITOR
        GIT_SSH* GIT_SSL_* GIT_TEMPLATE_DIR GIT_TRACE* GIT_WORK_TREE
        """,
    ),
    _rule(
        "a program reads settings by it that name code to run", "the manual of each",
        """
        WGETRC SYSTEM_WGETRC CURL_HOME SCREENRC VIMINIT EXINIT VIM VIMRUNTIME MYVIMRC LESSKEY* MAILRC PSQLRC
        HGRCPATH APT_CONFIG ANSIBLE_* KUBECONFIG DOCKER_CONFIG AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
        BOTO_CONFIG CLOUDSDK_* GOOGLE_EXTERNAL_ACCOUNT_ALLOW_EXECUTABLES AZURE_CONFIG_DIR GNUPGHOME MAKEFILES
        MAKEFLAGS GNUMAKEFLAGS
        """,
    ),
    _rule(
        "terminals are driven by files that it names", "terminfo(5), termcap(5); env.c of sudo",
        "TERMINFO TERMINFO_DIRS TERMCAP TERMPATH",
    ),
    _rule(
        "Python loads code by it, or installs it from elsewhere",
        'python(1), "Environment variables"; the manuals of pip, uv, jupyter, gunicorn, uwsgi',
        """
        PYTHON* PIP_* UV_INDEX* UV_DEFAULT_INDEX UV_EXTRA_INDEX_URL UV_FIND_LINKS UV_CONFIG_FILE UV_PYTHON*
        POETRY_* CONDA_* PIPENV_* IPYTHONDIR JUPYTER_PATH JUPYTER_*_DIR JUPYTER_CONFIG_*
        COVERAGE_PROCESS_START COVERAGE_FILE COVERAGE_RCFILE GUNICORN_CMD_ARGS UWSGI_*
        """,
    ),
    _rule("Perl loads code by it", "perlrun(1), perldebug(1), ExtUtils::MakeMaker", "PERL*"),
    _rule(
        "Ruby loads code by it, or installs it from elsewhere",
        "ruby(1), gem(1), bundle-config(1); README of bootsnap",
        "RUBY* GEM_* BUNDLE_* BUNDLER_* IRBRC BOOTSNAP_*",
    ),
    _rule(
        "Node.js loads code by it, trusts others or writes files",
        'node(1), "Environment variables"; the manuals of ts-node, Electron, Deno, Bun, yarn, pnpm',
        """
        NODE_OPTIONS NODE_PATH NODE_EXTRA_CA_CERTS NODE_USE_SYSTEM_CA NODE_TLS_REJECT_UNAUTHORIZED
        NODE_V8_COVERAGE NODE_REDIRECT_WARNINGS NODE_REPL_* NODE_ICU_DATA NODE_DEBUG* NODE_COMPILE_CACHE*
        NODE_CHANNEL_* NODE_UNIQUE_ID NODE_PRESERVE_SYMLINKS* TS_NODE_* ELECTRON_* DENO_* BUN_* COREPACK_*
        YARN_* PNPM_*
        """,
    ),
    _rule("npm runs and installs code by it", "npm, config(7)", "NPM_CONFIG_*", any_case=True),
    _rule(
        "a Java virtual machine loads code by it",
        'java(1); "The JAVA_TOOL_OPTIONS Environment Variable"; scripts that start servers and builds',
        """
        CLASSPATH *JAVA_TOOL_OPTIONS *JAVA_OPTIONS *JAVA_OPTS *JVM_OPTIONS *JVM_OPTS *JVM_ARGS JAVA_ARGS
        JAVA_HOME JRE_HOME JDK_HOME JAVA_COMPILER CATALINA_* KAFKA_OPTS MAVEN_OPTS MAVEN_ARGS MAVEN_CONFIG
        GRADLE_OPTS GRADLE_USER_HOME ANT_OPTS ANT_ARGS ANT_HOME SBT_OPTS
        """,
    ),
    _rule(
        ".NET loads code by it",
        'the manual of .NET, "Runtime configuration", "Profiling"; "Hosting startup assemblies" of ASP.NET',
        "CORECLR_* COR_* COMPlus_* DOTNET_* MONO_* ASPNETCORE_HOSTINGSTARTUP* NUGET_* MSBUILD*",
    ),
    _rule(
        "PHP loads code by it", "php(1); the manuals of Xdebug and composer",
        "PHPRC PHP_INI_SCAN_DIR XDEBUG_* COMPOSER_*",
    ),
    _rule("Lua loads code by it", "lua(1)", "LUA_PATH* LUA_CPATH* LUA_INIT* LUAROCKS_CONFIG"),
    _rule(
        "a language's runtime loads code by it",
        "tclvars(n), tm(n); Startup of R; erl(1), mix release of Elixir; the manual of each",
        """
        TCL_* TCLLIBPATH TCL8* TK_LIBRARY R_PROFILE* R_ENVIRON* R_LIBS* R_HOME R_DEFAULT_PACKAGES R_BROWSER
        ERL_* ELIXIR_ERL_OPTIONS MIX_* RELEASE_VM_ARGS RELEASE_REMOTE_VM_ARGS RELEASE_SYS_CONFIG
        RELEASE_BOOT_SCRIPT* RELEASE_COOKIE RELEASE_DISTRIBUTION RELEASE_NODE JULIA_* OCTAVE_* GHCRTS
        GHC_PACKAGE_PATH CAML_LD_LIBRARY_PATH OCAMLRUNPARAM CAMLRUNPARAM OCAMLLIB OCAMLPATH GUILE_*
        EMACSLOADPATH EMACSPATH SBCL_HOME
        """,
    ),
    _rule(
        "a compiler or its runtime runs code, weakens checks or writes files by it",
        "package runtime of Go, go help environment; the manual of cargo; gcc(1), pkg-config(1), ccache(1)",
        """
        GODEBUG GOTRACEBACK GOCOVERDIR GOFLAGS GOROOT GOPATH GOPROXY GOTOOLCHAIN GOSUMDB GONOSUM* GOINSECURE
        GOPRIVATE CARGO_* RUSTC* RUSTFLAGS RUSTUP_* COMPILER_PATH GCC_EXEC_PREFIX LIBRARY_PATH CPATH
        C_INCLUDE_PATH CPLUS_INCLUDE_PATH PKG_CONFIG* CCACHE_*
        """,
    ),
    _rule(
        "TLS libraries write the keys of all connections to the file that it names",
        "SSL_CTX_set_keylog_callback(3) and its users; the manuals of NSS, GnuTLS, curl",
        "SSLKEYLOGFILE",
    ),
    _rule(
        "a library for cryptography takes code, settings or whom it trusts from elsewhere by it",
        "openssl-env(7), krb5.conf(5), ldap.conf(5), libpq; the manual of each",
        """
        OPENSSL_* SSL_CERT_FILE SSL_CERT_DIR SSL_DIR GNUTLS_* NSS_* NSPR_LOG_* P11_KIT_* PKCS11_*
        SOFTHSM2_CONF CURL_CA_BUNDLE CURL_SSL_BACKEND REQUESTS_CA_BUNDLE AWS_CA_BUNDLE
        GRPC_DEFAULT_SSL_ROOTS_FILE_PATH LDAPTLS_* LDAPCONF LDAPRC SASL_PATH SASL_CONF_PATH KRB5* PGSSL*
        PGSERVICEFILE PGSYSCONFDIR NETRC
        """,
    ),
    _rule(
        "a library loads plug-ins by it", "the manual of each",
        """
        ODBCINI ODBCINSTINI ODBCSYSINI LIBMYSQL_* MARIADB_PLUGIN_DIR MYSQL_HOME TNS_ADMIN ORACLE_HOME
        OMP_TOOL* CUDA_INJECTION* NVTX_INJECTION* CUDA_CACHE_PATH OCL_ICD_* VK_ICD_FILENAMES VK_*DRIVER_FILES
        VK_*LAYER_PATH VK_INSTANCE_LAYERS VK_LOADER_* LIBGL_DRIVERS_PATH LIBVA_DRIVERS_PATH GST_PLUGIN_*
        GST_REGISTRY* GTK_PATH GTK_MODULES GTK_EXE_PREFIX GIO_* GI_TYPELIB_PATH GSETTINGS_* GDK_PIXBUF_MODULE*
        QT_PLUGIN_PATH QT_QPA_* QML_IMPORT_PATH QML2_IMPORT_PATH MAGICK_* GS_LIB GS_OPTIONS GDAL_DRIVER_PATH
        GDAL_PYTHON_DRIVER_PATH HDF5_PLUGIN_PATH OMPI_MCA_* PMIX_MCA_* UCX_MODULE_DIR ALSA_CONFIG_*
        FONTCONFIG_*
        """,
    ),
    _rule(
        "memory and traces are written to files that it names",
        'Clang, "Source-based Code Coverage", sanitizer_flags.inc; gcov(1), gperftools, jemalloc(3), LTTng',
        """
        *SAN_OPTIONS *SAN_SYMBOLIZER_PATH GCOV_* LLVM_PROFILE_FILE CPUPROFILE* HEAPPROFILE* HEAPCHECK*
        TCMALLOC_* *MALLOC_CONF MIMALLOC_* LTTNG_*
        """,
    ),
)  # fmt: skip


def loader_reason(name: str) -> str:
    """Return why the host must not set a variable unless the user wants just that; "" if nothing is known."""
    return next((rule.reason for rule in RULES if rule.matches(name)), "")


def is_loader_like(name: str) -> bool:
    """Tell names that make a loader, a language runtime or a library take code or trust from elsewhere."""
    return bool(loader_reason(name))
