//! Symbols of ELF files, for the host's Python, whose loops take a step for each and keep the interpreter's lock.

const std = @import("std");

/// Elf64_Sym, of which only this is looked at.
const Symbol = extern struct {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,

    const undefined_section = 0;
    const weak = 2;

    fn isWanted(symbol: Symbol) bool {
        return symbol.section == undefined_section and symbol.name != 0 and symbol.info >> 4 != weak;
    }
};

/// Writes where the names of the symbols are that are undefined, but not weak, and have one. Returns how many.
export fn enclavize_undefined_names(symbols: [*]align(1) const Symbol, count: usize, names: [*]u32) usize {
    var found: usize = 0;
    for (symbols[0..count]) |symbol| {
        if (!symbol.isWanted()) continue;
        names[found] = symbol.name;
        found += 1;
    }
    return found;
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
