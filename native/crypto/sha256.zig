//! SHA-256 of one message for the enclave, the PAL and rune, exported to C (libos/base/sha256.c, pal/sha256.c).
//! Built twice: for the baseline CPU, and with the SHA extensions; the names differ by `variant`.

const std = @import("std");
const builtin = @import("builtin");
const sha256 = @import("sha256_ni");

const block_size = sha256.block_size;
const variant = if (builtin.cpu.has(.x86, .sha)) "_ni" else "_baseline";

const Message = struct {
    state: sha256.State = .{},
    size: u64 = 0,
    /// The bytes since the last whole block.
    rest: [block_size]u8 = @splat(0),
};

/// Room that `struct sha256` gives in C.
const Room = [128]u8;

comptime {
    std.debug.assert(@sizeOf(Message) <= @sizeOf(Room));
    std.debug.assert(@alignOf(Message) <= 16);
    @export(&start, .{ .name = "sha256_start" ++ variant, .visibility = .hidden });
    @export(&update, .{ .name = "sha256_update" ++ variant, .visibility = .hidden });
    @export(&finish, .{ .name = "sha256_finish" ++ variant, .visibility = .hidden });
}

fn start(room: *align(16) Room) callconv(.c) void {
    const message: *Message = @ptrCast(room);
    message.* = .{};
}

fn update(room: *align(16) Room, data: [*]const u8, size: usize) callconv(.c) void {
    const message: *Message = @ptrCast(room);
    const used = message.size % block_size;
    var left = data[0..size];
    message.size += size;
    if (used != 0) {
        const more = @min(size, block_size - used);
        @memcpy(message.rest[used..][0..more], left[0..more]);
        left = left[more..];
        if (used + more < block_size) return;
        sha256.compress(1, .{&message.state}, &message.rest, 1);
    }
    const whole = left.len - left.len % block_size;
    sha256.compress(1, .{&message.state}, left.ptr, whole / block_size);
    @memcpy(message.rest[0 .. left.len - whole], left[whole..]);
}

fn finish(room: *align(16) Room, digest: *sha256.Digest) callconv(.c) void {
    const message: *Message = @ptrCast(room);
    digest.* = message.state.finish(message.rest[0 .. message.size % block_size], message.size);
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
