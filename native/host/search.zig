//! What is looked for in ELF files, for the host's Python: its `re` and its loops take a step for every byte or symbol, and all that
//! it does keeps the interpreter's lock.

const std = @import("std");

const lanes = 32;
const Lanes = @Vector(lanes, u8);

/// Writes the offsets of at most `room` pairs that lie in [start, end): `first`, then one of three bytes. Returns how many.
export fn enclavize_find_pairs(
    data: [*]const u8,
    start: usize,
    end: usize,
    first: u8,
    seconds: *const [3]u8,
    offsets: [*]u32,
    room: usize,
) usize {
    var found: usize = 0;
    var at = start;
    while (at + lanes < end) : (at += lanes) {
        var pairs = equal(data[at..][0..lanes], first);
        if (pairs == 0) continue;
        const behind = data[at + 1 ..][0..lanes];
        pairs &= equal(behind, seconds[0]) | equal(behind, seconds[1]) | equal(behind, seconds[2]);
        while (pairs != 0) : (pairs &= pairs - 1) {
            if (found == room) return found;
            offsets[found] = @intCast(at + @ctz(pairs));
            found += 1;
        }
    }
    while (at + 1 < end) : (at += 1) {
        const second = data[at + 1];
        if (data[at] != first or (second != seconds[0] and second != seconds[1] and second != seconds[2])) continue;
        if (found == room) return found;
        offsets[found] = @intCast(at);
        found += 1;
    }
    return found;
}

/// Returns where a needle of at least one byte begins first, all of it in [start, end); or `end`.
export fn enclavize_find_bytes(data: [*]const u8, start: usize, end: usize, needle: [*]const u8, size: usize) usize {
    if (end < start or end - start < size) return end;
    const behind = end - size + 1;
    var at = start;
    while (at < behind and behind - at >= lanes) : (at += lanes) {
        var places = equal(data[at..][0..lanes], needle[0]);
        if (places == 0) continue;
        places &= equal(data[at + size - 1 ..][0..lanes], needle[size - 1]);
        while (places != 0) : (places &= places - 1) {
            const place = at + @ctz(places);
            if (std.mem.eql(u8, data[place..][0..size], needle[0..size])) return place;
        }
    }
    while (at < behind) : (at += 1) {
        if (std.mem.eql(u8, data[at..][0..size], needle[0..size])) return at;
    }
    return end;
}

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

/// One bit for each byte.
fn equal(bytes: *const [lanes]u8, wanted: u8) u32 {
    return @bitCast(@as(Lanes, bytes.*) == @as(Lanes, @splat(wanted)));
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
