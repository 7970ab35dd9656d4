//! The paths of a merged tree in the order of their bytes, each with its parent, its entries and its first name.

const std = @import("std");
const merge = @import("merge.zig");
const List = @import("buffer.zig").List;

const path_max = 4095;
const max_paths_size = 512 << 20;
const none = std.math.maxInt(u32);

/// A place before it is sorted.
const Found = struct { node: u32, path: u32, size: u32 };

pub fn flatten(tree: *merge.Tree) error{ Odd, OutOfMemory }!void {
    @setRuntimeSafety(true);
    var found: List(Found) = .{};
    defer found.deinit();
    var by_node: List(u32) = .{};
    defer by_node.deinit();
    try collect(tree, &found);
    tree.relations.deinit();
    for (tree.layers) |*layer| layer.forget();
    std.sort.pdq(Found, found.items, @as([]const u8, tree.paths.items), isBefore);

    try by_node.appendNTimes(none, tree.nodes.items.len);
    for (found.items, 0..) |item, at| by_node.items[item.node] = @intCast(at);
    try tree.places.reserve(found.items.len);
    for (found.items) |item| {
        const node = &tree.nodes.items[item.node];
        try tree.places.append(.{
            .layer = node.record.layer,
            .row = node.record.row,
            .path = item.path,
            .path_size = @intCast(item.size),
            .data = none,
            .parent = by_node.items[node.parent],
            .kind = node.letter,
            .is_elf = node.is_elf,
        });
    }
    tree.nodes.deinit();
    // From the last to the first, so that lists of entries are in order.
    var at = tree.places.items.len;
    while (at > 1) {
        at -= 1;
        const place = &tree.places.items[at];
        const parent = &tree.places.items[place.parent];
        place.sibling = parent.child;
        parent.child = @intCast(at);
    }
    try findFirstNames(tree);
}

/// Walks through the tree, and writes down all paths.
fn collect(tree: *merge.Tree, found: *List(Found)) error{ Odd, OutOfMemory }!void {
    @setRuntimeSafety(true);
    try found.append(.{ .node = 0, .path = 0, .size = 0 });
    var at: usize = 0;
    while (at < found.items.len) : (at += 1) {
        const folder = found.items[at];
        if (at % merge.rows_to_forget == merge.rows_to_forget - 1) {
            for (tree.layers) |*layer| layer.forget();
        }
        var child = tree.relations.items[folder.node].child;
        while (child != none) : (child = tree.relations.items[child].sibling) {
            const name = tree.relations.items[child].name;
            if (!tree.nodes.items[child].is_there) continue;
            const start = tree.paths.items.len;
            const prefix: usize = if (folder.size == 0) 0 else folder.size + 1;
            const size = prefix + name.len;
            if (size > path_max or start + size > max_paths_size) return error.Odd;
            try tree.paths.reserve(size);
            tree.paths.items.len += size;
            const path = tree.paths.items[start..];
            if (prefix != 0) {
                @memcpy(path[0..folder.size], tree.paths.items[folder.path..][0..folder.size]);
                path[folder.size] = '/';
            }
            @memcpy(path[prefix..], name);
            try found.append(.{ .node = child, .path = @intCast(start), .size = @intCast(size) });
        }
    }
}

fn isBefore(paths: []const u8, a: Found, b: Found) bool {
    return std.mem.lessThan(u8, paths[a.path..][0..a.size], paths[b.path..][0..b.size]);
}

/// Hard links are places of one record: all know the first.
fn findFirstNames(tree: *merge.Tree) error{ Odd, OutOfMemory }!void {
    @setRuntimeSafety(true);
    var offsets: List(usize) = .{};
    defer offsets.deinit();
    var total: usize = 0;
    for (tree.layers) |*layer| {
        try offsets.append(total);
        total += layer.count;
    }
    var first: List(u32) = .{};
    defer first.deinit();
    try first.appendNTimes(none, total);
    for (tree.places.items, 0..) |*place, at| {
        place.data = @intCast(at);
        if (place.kind == 'd') continue;
        const known = &first.items[offsets.items[place.layer] + place.row];
        if (known.* == none) known.* = @intCast(at);
        place.data = known.*;
    }
}
