//! SHA-256 of many messages of one size, two at a time, exported to C (libos/base/sha256.c). For CPUs with the SHA extensions.

const std = @import("std");
const sha256 = @import("sha256_ni");

const lanes = 2;

comptime {
    @export(&each, .{ .name = "sha256_each_ni", .visibility = .hidden });
}

/// `size` is the same for all `count` messages, which lie one behind the other.
fn each(data: [*]const u8, size: usize, count: usize, digests: [*]sha256.Digest) callconv(.c) void {
    const blocks = size / sha256.block_size;
    const whole = blocks * sha256.block_size;
    var at: usize = 0;
    while (at + lanes <= count) : (at += lanes) {
        var states: [lanes]sha256.State = @splat(.{});
        var pointers: [lanes]*sha256.State = undefined;
        var sources: [lanes][*]const u8 = undefined;
        inline for (0..lanes) |lane| {
            pointers[lane] = &states[lane];
            sources[lane] = data + (at + lane) * size;
        }
        sha256.compressEach(lanes, pointers, sources, blocks);
        inline for (0..lanes) |lane| {
            digests[at + lane] = states[lane].finish(sources[lane][whole..size], size);
        }
    }
    while (at < count) : (at += 1) {
        digests[at] = sha256.hash(data[at * size ..][0..size]);
    }
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
