//! What patch.c looks for in texts, sixteen bytes at a time, by the registers that every x86-64 processor has.
//!
//! Each function marks 64 * `count` bytes of `text`: a bit for each, in their order. One byte more is read.

const std = @import("std");

const Bytes = @Vector(64, u8);

comptime {
    @export(&markSyscalls, .{ .name = "places_of_syscalls", .visibility = .hidden });
    @export(&markBranches, .{ .name = "places_of_branches", .visibility = .hidden });
}

fn markSyscalls(text: [*]const u8, count: usize, marks: [*]u64) callconv(.c) void {
    for (0..count) |word| {
        const bytes, const next = twice(text + 64 * word);
        marks[word] = equal(bytes, 0x0F) & equal(next, 0x05);
    }
}

/// Jumps and calls with a 32-bit distance: E8, E9, 0F 80 to 0F 8F.
fn markBranches(text: [*]const u8, count: usize, marks: [*]u64) callconv(.c) void {
    for (0..count) |word| {
        const bytes, const next = twice(text + 64 * word);
        marks[word] = equal(bytes & @as(Bytes, @splat(0xFE)), 0xE8) |
            (equal(bytes, 0x0F) & equal(next & @as(Bytes, @splat(0xF0)), 0x80));
    }
}

/// Of each place its byte, and the next one.
inline fn twice(text: [*]const u8) [2]Bytes {
    return .{ text[0..64].*, text[1..65].* };
}

inline fn equal(bytes: Bytes, wanted: u8) u64 {
    return @bitCast(bytes == @as(Bytes, @splat(wanted)));
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
