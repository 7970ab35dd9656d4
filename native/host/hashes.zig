//! SHA-256 of every 4096-byte block of a buffer, for the host's Python: one call instead of one per block, so that
//! the interpreter's lock is free meanwhile. std.crypto uses the SHA extensions if it is compiled for them.

const std = @import("std");
const Sha256 = std.crypto.hash.sha2.Sha256;

const block_size = 4096;
const padding: [block_size]u8 = @splat(0);

/// Writes the digests of `size` bytes one after the other; the last block counts as padded with zeros.
export fn enclavize_hash_blocks(data: [*]const u8, size: usize, digests: [*][Sha256.digest_length]u8) void {
    const whole = size / block_size;
    for (0..whole) |block| {
        Sha256.hash(data[block * block_size ..][0..block_size], &digests[block], .{});
    }
    const rest = size % block_size;
    if (rest != 0) {
        var last = Sha256.init(.{});
        last.update(data[whole * block_size ..][0..rest]);
        last.update(padding[rest..]);
        last.final(&digests[whole]);
    }
}

/// Nothing here can panic in ReleaseFast; if it did, stop at once.
pub const panic = std.debug.no_panic;
