//! SHA-256 of an archive, of the file that stands in it and of that file's blocks, in one step for each byte.

const std = @import("std");
const sha256 = @import("sha256_ni");
const merkle = @import("merkle.zig");
const Error = @import("buffer.zig").Error;
const Output = @import("buffer.zig").Output;

const blocks_per_hash = merkle.block_size / sha256.block_size;
const zeros: [merkle.block_size]u8 = @splat(0);

pub const Hashes = struct { sha256: sha256.Digest, verity: sha256.Digest };

pub const Content = struct {
    archive: sha256.State = .{},
    archive_size: u64 = 0,
    /// The last bytes of the archive, which do not fill a block of SHA-256. They are the file's as well.
    tail: [sha256.block_size]u8 = undefined,
    used: usize = 0,

    file: sha256.State = .{},
    file_size: u64 = 0,
    block: sha256.State = .{},
    /// How many blocks of SHA-256 are in `block`.
    count: usize = 0,
    tree: merkle.Tree = .{},

    /// Takes bytes that belong to no file.
    pub fn skip(content: *Content, data: []const u8) void {
        content.archive_size += data.len;
        var rest = content.fill(data);
        if (content.used == sha256.block_size) {
            sha256.compress(1, .{&content.archive}, &content.tail, 1);
            content.used = 0;
        }
        const blocks = rest.len / sha256.block_size;
        sha256.compress(1, .{&content.archive}, rest.ptr, blocks);
        rest = rest[blocks * sha256.block_size ..];
        if (rest.len != 0) _ = content.fill(rest);
    }

    /// Begins a file. The archive is at a multiple of 512 bytes.
    pub fn begin(content: *Content, size: u64, tree_start: u64) void {
        std.debug.assert(content.used == 0);
        content.file = .{};
        content.file_size = 0;
        content.block = .{};
        content.count = 0;
        content.tree.begin(size, tree_start);
    }

    /// Takes bytes of the file.
    pub fn take(content: *Content, data: []const u8, output: *Output) Error!void {
        content.archive_size += data.len;
        content.file_size += data.len;
        var rest = content.fill(data);
        if (content.used == sha256.block_size) {
            try content.takeBlocks(&content.tail, 1, output);
            content.used = 0;
        }
        const blocks = rest.len / sha256.block_size;
        try content.takeBlocks(rest.ptr, blocks, output);
        rest = rest[blocks * sha256.block_size ..];
        if (rest.len != 0) _ = content.fill(rest);
    }

    /// Ends the file. Its last bytes stay in the tail, for the archive.
    pub fn finish(content: *Content, output: *Output) Error!Hashes {
        const rest = content.tail[0..content.used];
        const digest = content.file.finish(rest, content.file_size);
        if (content.count != 0 or rest.len != 0) {
            if (rest.len != 0) {
                var padded: [sha256.block_size]u8 = @splat(0);
                @memcpy(padded[0..rest.len], rest);
                sha256.compress(1, .{&content.block}, &padded, 1);
                content.count += 1;
            }
            sha256.compress(1, .{&content.block}, &zeros, blocks_per_hash - content.count);
            try content.finishBlock(output);
        }
        return .{ .sha256 = digest, .verity = try content.tree.finish(output) };
    }

    /// Returns the digest of all that was taken.
    pub fn archiveDigest(content: *const Content) sha256.Digest {
        return content.archive.finish(content.tail[0..content.used], content.archive_size);
    }

    /// Fills the tail if something is in it, or if there is less than a block; returns what is left.
    fn fill(content: *Content, data: []const u8) []const u8 {
        if (content.used == 0 and data.len >= sha256.block_size) return data;
        const size = @min(sha256.block_size - content.used, data.len);
        @memcpy(content.tail[content.used..][0..size], data[0..size]);
        content.used += size;
        return data[size..];
    }

    fn takeBlocks(content: *Content, data: [*]const u8, blocks: usize, output: *Output) Error!void {
        var at: usize = 0;
        while (at < blocks) {
            const run = @min(blocks - at, blocks_per_hash - content.count);
            const states = .{ &content.archive, &content.file, &content.block };
            sha256.compress(3, states, data + at * sha256.block_size, run);
            at += run;
            content.count += run;
            if (content.count == blocks_per_hash) try content.finishBlock(output);
        }
    }

    fn finishBlock(content: *Content, output: *Output) Error!void {
        const digest = content.block.finish(&.{}, merkle.block_size);
        content.block = .{};
        content.count = 0;
        try content.tree.add(&digest, output);
    }
};
