//! The merged tree for the host's Python (rootfs/native_merge.py).

const std = @import("std");
const merge = @import("merge.zig");
const Layer = merge.Layer;
const Place = merge.Place;
const Tree = merge.Tree;

extern fn calloc(count: usize, size: usize) ?*Tree;
extern fn free(memory: ?*anyopaque) void;

/// See `_Report` in native_merge.py.
const Report = extern struct { places: ?[*]const Place = null, count: usize = 0, paths: ?[*]const u8 = null, paths_size: usize = 0 };

/// Merges layers, the lowest first. Returns null, and 1 if it is for the reference or an errno, negative.
export fn enclavize_merge(layers: [*]const Layer, count: usize, report: *Report, code: *c_int) ?*Tree {
    code.* = -@as(c_int, @intFromEnum(std.os.linux.E.NOMEM));
    const tree = calloc(1, @sizeOf(Tree)) orelse return null;
    tree.* = .{ .layers = layers[0..count] };
    tree.merge() catch |failure| {
        if (failure == error.Odd) code.* = 1;
        enclavize_merge_free(tree);
        return null;
    };
    report.* = .{
        .places = tree.places.items.ptr,
        .count = tree.places.items.len,
        .paths = tree.paths.items.ptr,
        .paths_size = tree.paths.items.len,
    };
    code.* = 0;
    return tree;
}

export fn enclavize_merge_free(tree: *Tree) void {
    tree.deinit();
    free(tree);
}

/// Where safety is on, an access out of bounds stops at once; nothing else can panic.
pub const panic = std.debug.no_panic;
