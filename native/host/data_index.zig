//! Where the host finds the content of each file of a merged tree, for PALs that read layers as they are: byte for byte as
//! rootfs/data_index.py, the reference, which says what the file looks like.

const std = @import("std");
const inodes = @import("erofs_inode.zig");
const row = @import("row.zig");
const Output = @import("buffer.zig").Output;
const Tree = inodes.Tree;

const magic = "enclavize data 1";
const max_inline_size = 64;
const first_record = @sizeOf(Header);

const Header = extern struct { magic: [magic.len]u8 = magic.*, count: u64 };

const Record = extern struct {
    path: u64,
    offset: u64,
    size: u64,
    layer: u32,
    path_size: u16,
    unused: u16 = 0,

    comptime {
        std.debug.assert(@sizeOf(Record) == 32);
    }
};

/// Whether the host is asked for the content of this place.
fn isAsked(tree: *const Tree, at: u32) ?*align(1) const row.Row {
    @setRuntimeSafety(true);
    const place = tree.place(at);
    if (place.kind != row.Kind.regular or place.data != at) return null;
    const record = tree.rowOf(at) orelse return null;
    return if (record.size > max_inline_size) record else null;
}

fn write(tree: *const Tree, output: *Output) !u64 {
    @setRuntimeSafety(true);
    var count: u64 = 0;
    for (0..tree.count) |at| count += @intFromBool(isAsked(tree, @intCast(at)) != null);
    const header: Header = .{ .count = count };
    try output.writeAt(0, std.mem.asBytes(&header));
    var position: u64 = first_record;
    var path: u64 = first_record + count * @sizeOf(Record);
    var expanded: u64 = 0;
    for (0..tree.count) |index| {
        const at: u32 = @intCast(index);
        const found = isAsked(tree, at) orelse continue;
        const has_holes = found.data_offset == 0;
        const record: Record = .{
            .path = path,
            .offset = if (has_holes) expanded else found.data_offset,
            .size = found.size,
            .layer = if (has_holes) @intCast(tree.layer_count) else tree.place(at).layer,
            .path_size = @intCast(tree.place(at).path_size),
        };
        if (has_holes) expanded += found.size;
        try output.writeAt(position, std.mem.asBytes(&record));
        position += @sizeOf(Record);
        path += record.path_size;
    }
    for (0..tree.count) |index| {
        const at: u32 = @intCast(index);
        if (isAsked(tree, at) == null) continue;
        const name = tree.path(at);
        try output.writeAt(position, name);
        position += name.len;
    }
    try output.flush();
    return expanded;
}

/// Writes the index to an open file from its beginning. Returns an errno, negative, or 0; `expanded` is the size of all files with holes.
export fn enclavize_data_index_write(tree: *const Tree, file: i32, expanded: *u64) c_int {
    var output: Output = .{ .descriptor = file, .position = 0 };
    defer output.waiting.deinit();
    expanded.* = write(tree, &output) catch |failure| return switch (failure) {
        error.OutOfMemory => -@as(c_int, @intFromEnum(std.os.linux.E.NOMEM)),
        error.WriteFailed => -output.errno,
    };
    return 0;
}

/// Where safety is on, an access out of bounds stops at once; nothing else can panic.
pub const panic = std.debug.no_panic;
