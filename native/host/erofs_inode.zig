//! Inodes of the measured tree: their sizes, their extended attributes and their places. Format: docs/rootfs.md, fs/erofs/erofs_fs.h.

const std = @import("std");
const merge = @import("merge.zig");
const row = @import("row.zig");
const merkle = @import("merkle.zig");
const List = @import("buffer.zig").List;
const Buffer = @import("buffer.zig").Buffer;

pub const Failure = error{ Odd, OutOfMemory, WriteFailed };

pub const block_size = merkle.block_size;
pub const core_size = 64;
pub const slot_size = 32;
pub const first_inode = 1024 + 128;
const xattr_header_size = 12;
const max_file_size = 1 << 43;
const max_inline_always = 64;
pub const none = std.math.maxInt(u32);

pub const Layout = enum(u16) { plain = 0, in_line = 2, chunks = 4 };

/// A file whose content the build names: it is in the image.
pub const Named = extern struct { place: u32, unused: u32, data: [*]const u8, size: usize };

pub const Inode = struct {
    place: u32,
    links: u32 = 1,
    size: u64 = 0,
    /// Where its Merkle tree is, counted in hashes.
    merkle: u32 = 0,
    /// Where it is itself, counted in slots.
    nid: u32 = 0,
    start_block: u32 = 0,
    xattrs_size: u32 = 0,
    layout: Layout = .plain,
    on_host: bool = false,

    pub fn tailSize(inode: *const Inode) u64 {
        return switch (inode.layout) {
            .plain => 0,
            .in_line => inode.size % block_size,
            .chunks => 4,
        };
    }

    pub fn bodySize(inode: *const Inode) u64 {
        return core_size + inode.xattrs_size + inode.tailSize();
    }

    pub fn blockCount(inode: *const Inode) u64 {
        return switch (inode.layout) {
            .plain => (inode.size + block_size - 1) / block_size,
            .in_line => inode.size / block_size,
            .chunks => 0,
        };
    }
};

/// A merged tree, as native_merge.py has it.
pub const Tree = extern struct {
    layers: [*]const merge.Layer,
    layer_count: usize,
    places: [*]align(1) const merge.Place,
    count: usize,
    paths: [*]const u8,
    paths_size: usize,

    pub fn place(tree: *const Tree, at: u32) merge.Place {
        @setRuntimeSafety(true);
        return tree.places[0..tree.count][at];
    }

    pub fn path(tree: *const Tree, at: u32) []const u8 {
        @setRuntimeSafety(true);
        const found = tree.place(at);
        return tree.paths[0..tree.paths_size][found.path..][0..found.path_size];
    }

    /// The last part of a path.
    pub fn name(tree: *const Tree, at: u32) []const u8 {
        @setRuntimeSafety(true);
        const above = tree.place(tree.place(at).parent).path_size;
        return tree.path(at)[if (above == 0) 0 else above + 1 ..];
    }

    pub fn layerOf(tree: *const Tree, at: u32) ?*const merge.Layer {
        @setRuntimeSafety(true);
        const layer = tree.place(at).layer;
        return if (layer == none) null else &tree.layers[0..tree.layer_count][layer];
    }

    /// Gives back memory after every so many places.
    pub fn forget(tree: *const Tree, at: usize) void {
        if (at % merge.rows_to_forget != merge.rows_to_forget - 1) return;
        for (tree.layers[0..tree.layer_count]) |*layer| layer.forget();
    }

    /// The record of a place; null: a directory that no layer lists.
    pub fn rowOf(tree: *const Tree, at: u32) ?*align(1) const row.Row {
        @setRuntimeSafety(true);
        const layer = tree.layerOf(at) orelse return null;
        return &layer.rows[0..layer.count][tree.place(at).row];
    }
};

pub const Child = struct { name: []const u8, inode: u32 };

/// Collects the entries of a directory in order, `.` and `..` among them.
pub fn children(tree: *const Tree, place: u32, inode_of: []const u32, result: *List(Child)) Failure!void {
    @setRuntimeSafety(true);
    result.shrink(0);
    const dots = [_]Child{
        .{ .name = ".", .inode = inode_of[place] },
        .{ .name = "..", .inode = inode_of[tree.place(place).parent] },
    };
    var next: usize = 0;
    var at = tree.place(place).child;
    while (at != none) : (at = tree.place(at).sibling) {
        const name = tree.name(at);
        while (next < dots.len and std.mem.lessThan(u8, dots[next].name, name)) : (next += 1) try result.append(dots[next]);
        try result.append(.{ .name = name, .inode = inode_of[at] });
    }
    try result.appendAll(dots[next..]);
}

/// Returns how many of the entries fit into one block.
pub fn entriesInBlock(entries: []const Child) usize {
    @setRuntimeSafety(true);
    var used: usize = 0;
    for (entries, 0..) |entry, count| {
        used += dirent_size + entry.name.len;
        if (used > block_size) return count;
    }
    return entries.len;
}

pub const dirent_size = 12;

/// Returns the bytes of a directory.
pub fn directorySize(entries: []const Child) u64 {
    @setRuntimeSafety(true);
    var size: u64 = 0;
    var left = entries;
    while (true) {
        const count = entriesInBlock(left);
        if (count == left.len) break;
        left = left[count..];
        size += block_size;
    }
    for (left) |entry| size += dirent_size + entry.name.len;
    return size;
}

/// Makes the inode of a place that is the first of its file, but for sizes of directories.
pub fn make(tree: *const Tree, at: u32, named: []align(1) const Named) Failure!Inode {
    @setRuntimeSafety(true);
    var inode: Inode = .{ .place = at };
    const record = tree.rowOf(at) orelse return inode;
    switch (record.kind) {
        'l' => inode.size = record.size,
        row.Kind.regular => {
            inode.size = record.size;
            if (inode.size > max_file_size) return error.Odd;
            inode.on_host = inode.size > max_inline_always and namedContent(named, at) == null;
            if (!inode.on_host and (try contentOf(tree, at, named)).len != inode.size) return error.Odd;
        },
        else => {},
    }
    return inode;
}

fn namedContent(named: []align(1) const Named, at: u32) ?[]const u8 {
    for (named) |file| {
        if (file.place == at) return file.data[0..file.size];
    }
    return null;
}

/// Returns what is in the image of a regular file or a symbolic link.
pub fn contentOf(tree: *const Tree, at: u32, named: []align(1) const Named) Failure![]const u8 {
    @setRuntimeSafety(true);
    if (namedContent(named, at)) |content| return content;
    const record = tree.rowOf(at) orelse return error.Odd;
    const layer = tree.layerOf(at).?;
    if (record.kind == 'l') return layer.text(record.heap + record.path_size, record.link_size);
    if (record.has_content == 0) return error.Odd;
    const before: u64 = @as(u64, record.path_size) + record.link_size + record.xattrs_size + record.line_size;
    return layer.text(record.heap + before, record.content_size);
}

pub fn layoutOf(inode: *const Inode, kind: u8) Layout {
    if (inode.on_host) return .chunks;
    const tail = inode.size % block_size;
    const has_data = kind == 'f' or kind == 'd' or kind == 'l';
    const fits = core_size + inode.xattrs_size + tail <= block_size;
    return if (has_data and tail != 0 and fits) .in_line else .plain;
}

const Xattr = struct {
    index: u8,
    name: []const u8,
    value: []const u8,

    fn isBefore(_: void, one: Xattr, other: Xattr) bool {
        if (one.index != other.index) return one.index < other.index;
        return std.mem.lessThan(u8, one.name, other.name);
    }
};

const Prefix = struct { name: []const u8, index: u8, is_whole: bool = false };

const prefixes = [_]Prefix{
    .{ .name = "user.", .index = 1 },
    .{ .name = "system.posix_acl_access", .index = 2, .is_whole = true },
    .{ .name = "system.posix_acl_default", .index = 3, .is_whole = true },
    .{ .name = "trusted.", .index = 4 },
    .{ .name = "security.", .index = 6 },
};
const reserved = [_][]const u8{ "trusted.overlay.", "trusted.enclavize." };
const trusted = 4;

/// Writes the xattrs of an inode as they stand behind it.
pub fn xattrArea(tree: *const Tree, inode: *const Inode, scratch: *List(u8), area: *Buffer) Failure!void {
    @setRuntimeSafety(true);
    area.shrink(0);
    scratch.shrink(0);
    var items: List(Xattr) = .{};
    defer items.deinit();
    const record = tree.rowOf(inode.place) orelse return;
    const layer = tree.layerOf(inode.place).?;
    try takeOwn(layer.text(record.heap + record.path_size + record.link_size, record.xattrs_size), &items);
    var metacopy: [36]u8 = .{ 0, 36, 0, 1 } ++ @as([32]u8, @splat(0)); // struct ovl_metacopy
    var offset: [8]u8 = undefined;
    if (inode.on_host) {
        metacopy[4..].* = record.verity;
        try items.append(.{ .index = trusted, .name = "overlay.metacopy", .value = &metacopy });
        if (inode.size > block_size) {
            std.mem.writeInt(u64, &offset, @as(u64, inode.merkle) * merkle.hash_size, .little);
            try items.append(.{ .index = trusted, .name = "enclavize.merkle", .value = &offset });
        }
        if (inode.links > 1) {
            try scratch.append('/');
            try scratch.appendAll(tree.path(inode.place));
            try items.append(.{ .index = trusted, .name = "overlay.redirect", .value = scratch.items });
        }
    }
    if (items.items.len == 0) return;
    std.sort.pdq(Xattr, items.items, {}, Xattr.isBefore);
    try area.appendNTimes(0, xattr_header_size);
    for (items.items) |item| {
        var head: [4]u8 = .{ @intCast(item.name.len), item.index, 0, 0 };
        std.mem.writeInt(u16, head[2..4], @intCast(item.value.len), .little);
        try area.appendAll(&head);
        try area.appendAll(item.name);
        try area.appendAll(item.value);
        try area.appendNTimes(0, (4 - area.items.len % 4) % 4);
    }
}

/// Takes those of the image.
fn takeOwn(packed_xattrs: []const u8, items: *List(Xattr)) Failure!void {
    @setRuntimeSafety(true);
    var rest = packed_xattrs;
    while (rest.len != 0) {
        const name_size = std.mem.readInt(u16, rest[0..2], .little);
        const value_size = std.mem.readInt(u32, rest[2..6], .little);
        const name = rest[6..][0..name_size];
        const value = rest[6 + @as(usize, name_size) ..][0..value_size];
        rest = rest[6 + @as(usize, name_size) + value_size ..];
        const is_reserved = for (reserved) |prefix| {
            if (std.mem.startsWith(u8, name, prefix)) break true;
        } else false;
        if (is_reserved) continue;
        for (prefixes) |prefix| {
            if (!std.mem.startsWith(u8, name, prefix.name) or (name.len == prefix.name.len) != prefix.is_whole) continue;
            try items.append(.{ .index = prefix.index, .name = name[prefix.name.len..], .value = value });
        }
    }
}

pub fn xattrCount(size: u32) u16 {
    @setRuntimeSafety(true);
    return if (size == 0) 0 else @intCast((size - xattr_header_size) / 4 + 1);
}
