//! SHA-256 for the enclave and the PAL: std.crypto, exported to C (libos/sha256.c, pal/sha256.c).
//! Built twice: for the baseline CPU, and with the SHA extensions; the names differ by `variant`.

const std = @import("std");
const builtin = @import("builtin");
const Sha256 = std.crypto.hash.sha2.Sha256;

const variant = if (builtin.cpu.has(.x86, .sha)) "_ni" else "_baseline";

/// Room that `struct sha256` gives in C.
const Room = [128]u8;

comptime {
    std.debug.assert(@sizeOf(Sha256) <= @sizeOf(Room));
    std.debug.assert(@alignOf(Sha256) <= 16);
    @export(&start, .{ .name = "sha256_start" ++ variant, .visibility = .hidden });
    @export(&update, .{ .name = "sha256_update" ++ variant, .visibility = .hidden });
    @export(&finish, .{ .name = "sha256_finish" ++ variant, .visibility = .hidden });
}

fn start(hash: *align(16) Room) callconv(.c) void {
    const state: *Sha256 = @ptrCast(hash);
    state.* = Sha256.init(.{});
}

fn update(hash: *align(16) Room, data: [*]const u8, size: usize) callconv(.c) void {
    const state: *Sha256 = @ptrCast(hash);
    state.update(data[0..size]);
}

fn finish(hash: *align(16) Room, digest: *[32]u8) callconv(.c) void {
    const state: *Sha256 = @ptrCast(hash);
    state.final(digest);
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
