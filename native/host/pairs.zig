//! Where pairs of bytes are in code, for the host's Python: its `re` takes a step for every byte, and keeps the interpreter's lock.

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

/// One bit for each byte.
fn equal(bytes: *const [lanes]u8, wanted: u8) u32 {
    return @bitCast(@as(Lanes, bytes.*) == @as(Lanes, @splat(wanted)));
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = @import("std").debug.no_panic;
