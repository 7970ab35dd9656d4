"""Names of variables that can make a program run other code than its own."""

from __future__ import annotations

_LOADER_PREFIXES = (
    "LD_", "GLIBC_", "MALLOC_", "BASH_FUNC_", "DYLD_", "PYTHON", "PERL5", "RUBY", "DOTNET_", "COMPlus_",
)  # fmt: skip
_LOADER_NAMES = frozenset(
    {
        "BASH_ENV", "ENV", "IFS", "SHELLOPTS", "PATH", "GCONV_PATH", "LOCPATH", "NLSPATH", "NODE_OPTIONS",
        "NODE_PATH", "JAVA_TOOL_OPTIONS", "_JAVA_OPTIONS", "JDK_JAVA_OPTIONS", "CLASSPATH", "OPENSSL_CONF",
        "OPENSSL_MODULES", "SSL_CERT_FILE", "SSL_CERT_DIR", "PHPRC", "PHP_INI_SCAN_DIR", "LUA_PATH",
        "LUA_CPATH", "LUA_INIT", "TCLLIBPATH", "GEM_PATH", "GEM_HOME", "GODEBUG", "HOSTALIASES",
        "RESOLV_HOST_CONF", "TZDIR",
    }
)  # fmt: skip


def is_loader_like(name: str) -> bool:
    """Tell names that make a loader, a language runtime or a library take code or trust from elsewhere."""
    return name.startswith(_LOADER_PREFIXES) or name in _LOADER_NAMES
