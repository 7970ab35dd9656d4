//! What a member of a layer does to the tree, as rootfs/rows.py reads it: a row of fixed size, and its strings in a heap.

const std = @import("std");
const tar = @import("tar.zig");
const pax = @import("pax.zig");
const Buffer = @import("buffer.zig").Buffer;
const Error = @import("buffer.zig").Error;
const Odd = tar.Odd;

const path_max = 4095;
const name_max = 255;
const max_id = 0xffff_fffe;
const max_time = 1 << 62;
const max_major = (1 << 12) - 1;
const max_minor = (1 << 20) - 1;
const whiteout_prefix = ".wh.";
const opaque_whiteout = ".wh..wh..opq";
const aufs_prefix = ".wh..wh.";

pub const Row = extern struct {
    kind: u8,
    has_content: u8 = 0,
    mode: u16 = 0,
    uid: u32 = 0,
    gid: u32 = 0,
    member: u32 = 0,
    mtime: i64 = 0,
    size: u64 = 0,
    /// Where its path begins in the heap; link target, xattrs, interpreter line and content follow.
    heap: u64,
    merkle_offset: u64 = 0,
    /// Where the content of a file is in the archive.
    data_offset: u64 = 0,
    path_size: u16 = 0,
    link_size: u16 = 0,
    line_size: u16 = 0,
    unused: u16 = 0,
    xattrs_size: u32 = 0,
    content_size: u32 = 0,
    major: u32 = 0,
    minor: u32 = 0,
    /// Which of the layer's ELF files it is, counted from 1.
    elf: u32 = 0,
    unused2: u32 = 0,
    sha256: [32]u8 = @splat(0),
    verity: [32]u8 = @splat(0),

    comptime {
        std.debug.assert(@sizeOf(Row) == 152);
    }
};

/// Kinds of rows: what the index knows of a member.
pub const Kind = struct {
    pub const regular: u8 = 'f';
    pub const hard_link: u8 = 'h';
    pub const whiteout: u8 = 'w';
    pub const opaque_whiteout: u8 = 'o';
};

pub const Member = struct {
    row: Row,
    /// Bytes that follow in the archive.
    stored: u64,
    /// Bytes of its names in the archive.
    names_size: u64,
    /// Bytes of the names and the values of its xattrs.
    xattrs_size: u64,
};

/// Makes a row of a header and what stands before it. The heap is changed only if it succeeds, but for room.
pub fn make(record: tar.Record, group: []const u8, number: u64, heap: *Buffer, scratch: *Buffer) (Odd || Error)!Member {
    @setRuntimeSafety(true);
    const start = heap.items.len;
    errdefer heap.shrink(start);
    scratch.shrink(0);
    var room: tar.Room = undefined;
    const header = try tar.parse(record, &room);
    const more = try pax.parse(group, scratch);
    const name = more.name orelse header.name;
    const link = more.link orelse header.link;
    const size = more.size orelse header.size;
    const mtime = more.mtime orelse header.mtime;
    if (size != header.size and size < 1 << 33) return error.Odd; // MAX_OCTAL_SIZE of tar.py
    const kind = if (header.kind != 0) header.kind else if (endsWithSlash(name)) tar.Kind.directory else tar.Kind.regular;
    if (kind < tar.Kind.regular or kind > tar.Kind.fifo) return error.Odd;
    if (kind != tar.Kind.regular and size != 0) return error.Odd;
    if (kind != tar.Kind.directory and endsWithSlash(name)) return error.Odd;
    const uid = more.uid orelse header.uid;
    const gid = more.gid orelse header.gid;
    if (uid > max_id or gid > max_id or mtime > max_time) return error.Odd;

    var member: Member = .{
        .row = .{ .kind = kindOf(kind), .heap = start },
        .stored = size,
        .names_size = name.len + link.len,
        .xattrs_size = 0,
    };
    const row = &member.row;
    try appendPath(name, heap);
    if (try takeWhiteout(row, heap)) return member;
    row.path_size = @intCast(heap.items.len - start);
    row.mode = @intCast(header.mode & 0o7777);
    row.uid = @intCast(uid);
    row.gid = @intCast(gid);
    switch (kind) {
        tar.Kind.hard_link => try appendPath(link, heap),
        tar.Kind.symlink => {
            if (link.len == 0 or link.len > path_max) return error.Odd;
            try heap.appendAll(link);
            row.size = link.len;
        },
        tar.Kind.character_device, tar.Kind.block_device => {
            if (header.major > max_major or header.minor > max_minor) return error.Odd;
            row.major = @intCast(header.major);
            row.minor = @intCast(header.minor);
        },
        else => {},
    }
    row.link_size = @intCast(heap.items.len - start - row.path_size);
    try heap.appendAll(scratch.items);
    row.xattrs_size = @intCast(scratch.items.len);
    if (kind == tar.Kind.hard_link) return member;
    if (row.path_size == 0 and kind != tar.Kind.directory) return error.Odd;
    row.member = @intCast(number);
    row.mtime = @intCast(mtime);
    if (kind == tar.Kind.regular) row.size = size;
    member.xattrs_size = scratch.items.len;
    return member;
}

fn kindOf(kind: u8) u8 {
    return switch (kind) {
        tar.Kind.regular => Kind.regular,
        tar.Kind.hard_link => Kind.hard_link,
        tar.Kind.symlink => 'l',
        tar.Kind.character_device => 'c',
        tar.Kind.block_device => 'b',
        tar.Kind.directory => 'd',
        else => 'p',
    };
}

fn endsWithSlash(name: []const u8) bool {
    return name.len != 0 and name[name.len - 1] == '/';
}

/// Appends the canonical form of a name.
fn appendPath(name: []const u8, heap: *Buffer) (Odd || Error)!void {
    @setRuntimeSafety(true);
    if (name.len == 0 or std.mem.findScalar(u8, name, 0) != null) return error.Odd;
    const start = heap.items.len;
    var parts = std.mem.tokenizeScalar(u8, name, '/');
    while (parts.next()) |part| {
        if (std.mem.eql(u8, part, ".")) continue;
        if (std.mem.eql(u8, part, "..") or part.len > name_max) return error.Odd;
        if (heap.items.len != start) try heap.appendAll("/");
        try heap.appendAll(part);
    }
    if (heap.items.len - start > path_max) return error.Odd;
}

/// Turns the path at the end of the heap into what it hides, if it is that of a whiteout.
fn takeWhiteout(row: *Row, heap: *Buffer) Odd!bool {
    @setRuntimeSafety(true);
    const path = heap.items[row.heap..];
    const folder = if (std.mem.findScalarLast(u8, path, '/')) |slash| slash + 1 else 0;
    const base = path[folder..];
    if (std.mem.startsWith(u8, base, whiteout_prefix)) {
        const hidden = base[whiteout_prefix.len..];
        if (std.mem.eql(u8, base, opaque_whiteout)) {
            heap.shrink(row.heap + (folder -| 1));
            row.kind = Kind.opaque_whiteout;
        } else {
            if (std.mem.startsWith(u8, base, aufs_prefix)) return error.Odd;
            if (hidden.len == 0 or std.mem.eql(u8, hidden, ".") or std.mem.eql(u8, hidden, "..")) return error.Odd;
            @memmove(base[0..hidden.len], hidden);
            heap.shrink(row.heap + folder + hidden.len);
            row.kind = Kind.whiteout;
        }
        row.path_size = @intCast(heap.items.len - row.heap);
        return true;
    }
    if (std.mem.startsWith(u8, path, aufs_prefix)) return error.Odd;
    return false;
}
