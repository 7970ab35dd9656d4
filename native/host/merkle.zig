//! The fs-verity digest of a file whose block hashes come one by one, and its Merkle tree, as verity.py has them.
//! Source: Linux, Documentation/filesystems/fsverity.rst.

const std = @import("std");
const sha256 = @import("sha256_ni");
const Buffer = @import("buffer.zig").Buffer;
const Error = @import("buffer.zig").Error;
const Output = @import("buffer.zig").Output;

pub const block_size = 4096;
pub const hash_size = @sizeOf(sha256.Digest);
const hashes_per_block = block_size / hash_size;
const max_levels = 12;

fn hashCount(size: u64) u64 {
    return size / block_size + @intFromBool(size % block_size != 0);
}

/// Bytes of the levels above level 0, or of all.
fn levelSizes(size: u64, with_level_0: bool) u64 {
    var count = hashCount(size);
    var total: u64 = if (with_level_0 and count > 1) count * hash_size else 0;
    while (count > hashes_per_block) {
        count = hashCount(count * hash_size);
        total += count * hash_size;
    }
    return total;
}

pub fn treeSize(size: u64) u64 {
    return levelSizes(size, true);
}

pub const Tree = struct {
    size: u64 = 0,
    /// Where the tree stands in the output, and the next hash of level 0.
    start: u64 = 0,
    next: u64 = 0,
    /// The hashes of level 0 that do not fill a block of it yet.
    hashes: [block_size]u8 = undefined,
    used: usize = 0,
    /// Level 1, then those above it.
    above: Buffer = .{},

    pub fn begin(tree: *Tree, size: u64, start: u64) void {
        tree.size = size;
        tree.start = start;
        tree.next = start + levelSizes(size, false);
        tree.used = 0;
        tree.above.shrink(0);
    }

    pub fn add(tree: *Tree, hash: *const sha256.Digest, output: *Output) Error!void {
        if (tree.size > block_size) try output.writeAt(tree.next, hash);
        tree.next += hash_size;
        if (tree.used == block_size) try tree.fold();
        tree.hashes[tree.used..][0..hash_size].* = hash.*;
        tree.used += hash_size;
    }

    /// Returns the fs-verity digest.
    pub fn finish(tree: *Tree, output: *Output) Error!sha256.Digest {
        var root: sha256.Digest = @splat(0);
        const count = hashCount(tree.size);
        if (count == 1) {
            root = tree.hashes[0..hash_size].*;
        } else if (count > hashes_per_block) {
            try tree.fold();
            root = try tree.finishAbove(output);
        } else if (count != 0) {
            root = hashPadded(tree.hashes[0..tree.used]);
        }
        var descriptor: [256]u8 = @splat(0); // struct fsverity_descriptor
        descriptor[0..3].* = .{ 1, 1, 12 };
        std.mem.writeInt(u64, descriptor[8..16], tree.size, .little);
        descriptor[16..48].* = root;
        return sha256.hash(&descriptor);
    }

    /// Moves the hashes at hand up to level 1.
    fn fold(tree: *Tree) Error!void {
        try tree.above.appendAll(&hashPadded(tree.hashes[0..tree.used]));
        tree.used = 0;
    }

    fn finishAbove(tree: *Tree, output: *Output) Error!sha256.Digest {
        var starts: [max_levels]usize = undefined;
        starts[0] = 0;
        var levels: usize = 1;
        while (tree.above.items.len - starts[levels - 1] > block_size) : (levels += 1) {
            var at = starts[levels - 1];
            const end = tree.above.items.len;
            starts[levels] = end;
            while (at < end) : (at += block_size) {
                const block = hashPadded(tree.above.items[at..@min(at + block_size, end)]);
                try tree.above.appendAll(&block);
            }
        }
        const root = hashPadded(tree.above.items[starts[levels - 1]..]);
        var end = tree.above.items.len;
        var position = tree.start;
        while (levels != 0) : (levels -= 1) {
            const level = tree.above.items[starts[levels - 1]..end];
            try output.writeAt(position, level);
            position += level.len;
            end = starts[levels - 1];
        }
        return root;
    }
};

fn hashPadded(block: []const u8) sha256.Digest {
    var padded: [block_size]u8 = @splat(0);
    @memcpy(padded[0..block.len], block);
    return sha256.hash(&padded);
}
