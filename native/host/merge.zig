//! Layers laid over one another, as rootfs/merge.py does it, which is the reference: what engines do not all unpack alike, and what
//! goes beyond a bound, is odd here, and is said there.

const std = @import("std");
const row = @import("row.zig");
const Buffer = @import("buffer.zig").Buffer;
const List = @import("buffer.zig").List;
const Row = row.Row;

const Failure = error{ Odd, OutOfMemory };

const name_max = 255;
const max_links = 40;
const max_implied = 1_000_000;
const free_link_names = 1 << 18;
const link_names_per_member = 32;
const page_size = 4096;
/// How many rows are read until their memory is given back.
pub const rows_to_forget = 1 << 16;
const none = std.math.maxInt(u32);
const root = 0;
/// A layer that is not yet, and the one of directories that no layer lists.
const no_layer = std.math.maxInt(u32);

/// What native_merge.py gives for each layer.
pub const Layer = extern struct {
    rows: [*]align(1) const Row,
    count: usize,
    heap: [*]const u8,
    heap_size: usize,
    merkle: [*]const u8,
    merkle_size: usize,
    /// All of it is in a file that is mapped, and can be read again.
    is_mapped: u64,

    /// Gives back the memory of what was read of a mapped file.
    pub fn forget(layer: *const Layer) void {
        if (layer.is_mapped == 0) return;
        forgetPages(@ptrCast(layer.rows), layer.count * @sizeOf(Row));
        forgetPages(layer.heap, layer.heap_size);
        forgetPages(layer.merkle, layer.merkle_size);
    }

    /// The same of a part of its Merkle trees.
    pub fn forgetMerkle(layer: *const Layer, part: []const u8) void {
        if (layer.is_mapped != 0) forgetPages(part.ptr, part.len);
    }

    pub fn text(layer: *const Layer, start: u64, size: usize) []const u8 {
        @setRuntimeSafety(true);
        return layer.heap[0..layer.heap_size][start..][0..size];
    }
};

/// A path of the merged tree, in the order of paths; see `_PLACE` in native_merge.py.
pub const Place = extern struct {
    /// Where its record is; no_layer: a directory that no layer lists.
    layer: u32,
    row: u32,
    path: u32,
    /// The first path of the same file.
    data: u32,
    parent: u32,
    /// The first entry of a directory, and the next one of its own.
    child: u32 = none,
    sibling: u32 = none,
    path_size: u16,
    kind: u8,
    is_elf: bool,

    comptime {
        std.debug.assert(@sizeOf(Place) == 32);
    }
};

const Record = struct {
    layer: u32 = no_layer,
    row: u32 = 0,

    fn same(record: Record, other: Record) bool {
        return record.layer == other.layer and record.row == other.row;
    }
};

const Kind = enum { directory, symlink, other };

const Node = struct {
    record: Record = .{},
    parent: u32,
    /// The kind of its row.
    letter: u8 = 'd',
    is_elf: bool = false,
    is_there: bool = true,

    pub fn kind(node: Node) Kind {
        return switch (node.letter) {
            'd' => .directory,
            'l' => .symlink,
            else => .other,
        };
    }
};

/// What has to be known of a node until all layers are laid over one another.
const Relation = struct {
    name: []const u8,
    /// The hard link that made this name of the record.
    link: Record = .{},
    child: u32 = none,
    sibling: u32 = none,
    /// The last layer that brought this node or something below it.
    touched: u32 = no_layer,
};

pub const Tree = struct {
    layers: []const Layer,
    number: u32 = 0,
    nodes: List(Node) = .{},
    relations: List(Relation) = .{},
    /// Nodes by parent and name, in open addressing; what was removed stays until the table grows.
    slots: List(u32) = .{},
    implied: usize = 0,
    link_names: i64 = free_link_names,
    last_folder: []const u8 = &.{},
    last_node: u32 = none,
    missing: List([]const u8) = .{},

    places: List(Place) = .{},
    paths: Buffer = .{},

    pub fn merge(tree: *Tree) Failure!void {
        @setRuntimeSafety(true);
        try tree.nodes.append(.{ .parent = root });
        try tree.relations.append(.{ .name = &.{} });
        try tree.grow();
        for (tree.layers, 0..) |*layer, number| {
            tree.number = @intCast(number);
            tree.forgetFolder();
            tree.link_names += @intCast(link_names_per_member * layer.count);
            for (0..layer.count) |at| {
                try tree.apply(layer, .{ .layer = tree.number, .row = @intCast(at) });
                if (at % rows_to_forget == rows_to_forget - 1) layer.forget();
            }
            layer.forget();
        }
        inline for (.{ &tree.slots, &tree.missing }) |list| list.deinit();
        try @import("places.zig").flatten(tree);
    }

    pub fn deinit(tree: *Tree) void {
        inline for (.{ &tree.nodes, &tree.relations, &tree.slots, &tree.missing, &tree.places, &tree.paths }) |list| list.deinit();
    }

    fn apply(tree: *Tree, layer: *const Layer, record: Record) Failure!void {
        @setRuntimeSafety(true);
        const found = layer.rows[record.row];
        const path = layer.text(found.heap, found.path_size);
        switch (found.kind) {
            row.Kind.hard_link => try tree.putLink(layer, record, path, layer.text(found.heap + found.path_size, found.link_size)),
            row.Kind.whiteout => try tree.hide(path),
            row.Kind.opaque_whiteout => try tree.hideAll(path),
            'd', 'l', 'f', 'c', 'b', 'p' => {
                const node: Node = .{ .record = record, .parent = root, .letter = found.kind, .is_elf = found.elf != 0 };
                try tree.put(node, path);
            },
            else => return error.Odd,
        }
    }

    /// Puts a node at a path, where its parent is found.
    fn put(tree: *Tree, given: Node, path: []const u8) Failure!void {
        @setRuntimeSafety(true);
        if (path.len == 0) {
            tree.nodes.items[root].record = given.record;
            return;
        }
        const folder, const base = split(path);
        const where = try tree.madeDirectory(folder);
        if (tree.find(where, base)) |old| {
            if (given.kind() == .directory and tree.nodes.items[old].kind() == .directory) {
                tree.nodes.items[old].record = given.record;
                tree.touch(old);
                return;
            }
            tree.remove(old);
        }
        var node = given;
        node.parent = where;
        tree.touch(try tree.add(node, .{ .name = base }));
    }

    fn putLink(tree: *Tree, layer: *const Layer, record: Record, path: []const u8, target: []const u8) Failure!void {
        @setRuntimeSafety(true);
        const folder, const base = split(path);
        const where = try tree.madeDirectory(folder);
        if (tree.find(where, base)) |old| tree.remove(old);
        const target_folder, const target_base = split(target);
        const target_where = try tree.follow(target_folder);
        if (base.len == 0 or tree.missing.items.len != 0) return error.Odd;
        var node = tree.nodes.items[tree.find(target_where, target_base) orelse return error.Odd];
        if (node.kind() == .directory or !tree.saysTheSame(layer, layer.rows[record.row], node)) return error.Odd;
        node.parent = where;
        tree.touch(try tree.add(node, .{ .name = base, .link = record }));
    }

    fn saysTheSame(tree: *const Tree, layer: *const Layer, link: Row, node: Node) bool {
        @setRuntimeSafety(true);
        const target_layer = &tree.layers[node.record.layer];
        const target = target_layer.rows[node.record.row];
        if (link.xattrs_size != 0) {
            const xattrs = layer.text(link.heap + link.path_size + link.link_size, link.xattrs_size);
            const others = target_layer.text(target.heap + target.path_size + target.link_size, target.xattrs_size);
            if (!std.mem.eql(u8, xattrs, others)) return false; // in another order: the reference compares them
        }
        return (node.kind() == .symlink or link.mode == target.mode) and link.uid == target.uid and link.gid == target.gid;
    }

    fn hide(tree: *Tree, path: []const u8) Failure!void {
        @setRuntimeSafety(true);
        const folder, const base = split(path);
        const where = try tree.hidingPlace(folder) orelse return;
        const hidden = tree.find(where, base) orelse return;
        if (tree.relations.items[hidden].touched == tree.number) return error.Odd;
        tree.remove(hidden);
    }

    fn hideAll(tree: *Tree, folder: []const u8) Failure!void {
        @setRuntimeSafety(true);
        const top = try tree.hidingPlace(folder) orelse return;
        if (tree.literal(folder) != top) return error.Odd;
        try tree.hideBelow(top, folder);
        tree.forgetFolder();
    }

    fn hideBelow(tree: *Tree, where: u32, path: []const u8) Failure!void {
        @setRuntimeSafety(true);
        var at = tree.relations.items[where].child;
        while (at != none) : (at = tree.relations.items[at].sibling) {
            const node = tree.nodes.items[at];
            const relation = tree.relations.items[at];
            if (!node.is_there) continue;
            if (relation.touched != tree.number) {
                tree.remove(at);
                continue;
            }
            const record = if (relation.link.layer == no_layer) node.record else relation.link;
            if (record.layer != tree.number) return error.Odd;
            const layer = &tree.layers[record.layer];
            const found = layer.rows[record.row];
            const own = layer.text(found.heap, found.path_size);
            const prefix = if (path.len == 0) 0 else path.len + 1;
            if (own.len != prefix + relation.name.len or !std.mem.startsWith(u8, own, path)) return error.Odd;
            if (prefix != 0 and own[path.len] != '/') return error.Odd;
            if (!std.mem.eql(u8, own[prefix..], relation.name)) return error.Odd;
            // Paths have at most 2048 names, and each level takes few bytes of the stack.
            if (node.kind() == .directory) try tree.hideBelow(at, own);
        }
    }

    fn hidingPlace(tree: *Tree, folder: []const u8) Failure!?u32 {
        @setRuntimeSafety(true);
        const where = try tree.follow(folder);
        const missing = tree.missing.items;
        if (missing.len == 0) return where;
        if (tree.find(where, missing[0]) != null) return null;
        // What is missing has to be the end of the path by its letters.
        var size: usize = missing.len - 1;
        for (missing) |name| size += name.len;
        if (size > folder.len or (size < folder.len and folder[folder.len - size - 1] != '/')) return error.Odd;
        var names = std.mem.splitScalar(u8, folder[folder.len - size ..], '/');
        for (missing) |name| {
            if (!std.mem.eql(u8, names.next() orelse return error.Odd, name)) return error.Odd;
        }
        if (tree.literal(folder[0 .. folder.len - size -| 1]) != where) return error.Odd;
        return try tree.madeDirectory(folder);
    }

    /// Finds a directory without following links.
    fn literal(tree: *const Tree, path: []const u8) u32 {
        @setRuntimeSafety(true);
        var where: u32 = root;
        var names = std.mem.tokenizeScalar(u8, path, '/');
        while (names.next()) |name| where = tree.find(where, name) orelse return none;
        return where;
    }

    /// Finds a directory, and makes what is missing of it.
    fn madeDirectory(tree: *Tree, path: []const u8) Failure!u32 {
        @setRuntimeSafety(true);
        if (tree.last_node != none and std.mem.eql(u8, path, tree.last_folder)) return tree.last_node;
        var where = try tree.follow(path);
        const missing = tree.missing.items;
        if (missing.len != 0 and tree.find(where, missing[0]) != null) return error.Odd;
        for (missing) |name| {
            tree.implied += 1;
            if (name.len > name_max or tree.implied > max_implied) return error.Odd;
            where = try tree.add(.{ .parent = where }, .{ .name = name });
            tree.touch(where);
        }
        tree.last_folder = path;
        tree.last_node = where;
        return where;
    }

    /// Follows a path through symbolic links as far as there are directories; `missing` is what is left of it.
    fn follow(tree: *Tree, path: []const u8) Failure!u32 {
        @setRuntimeSafety(true);
        tree.missing.shrink(0);
        var pending: [max_links + 1][]const u8 = undefined;
        pending[0] = path;
        var depth: usize = 1;
        var links: usize = 0;
        var where: u32 = root;
        while (depth != 0) {
            const text = pending[depth - 1];
            const name = std.mem.sliceTo(text, '/');
            if (name.len == text.len) {
                depth -= 1;
            } else {
                pending[depth - 1] = text[name.len + 1 ..];
            }
            if (name.len == 0 or std.mem.eql(u8, name, ".")) continue;
            const missing = tree.missing.items.len;
            if (std.mem.eql(u8, name, "..")) {
                if (missing != 0) tree.missing.shrink(missing - 1) else where = tree.nodes.items[where].parent;
                continue;
            }
            const at = if (missing == 0) tree.find(where, name) else null;
            const kind: Kind = if (at) |found| tree.nodes.items[found].kind() else .other;
            switch (kind) {
                .directory => where = at.?,
                .other => try tree.missing.append(name),
                .symlink => {
                    const record = tree.nodes.items[at.?].record;
                    const layer = &tree.layers[record.layer];
                    const link = layer.rows[record.row];
                    const target = layer.text(link.heap + link.path_size, link.link_size);
                    links += 1;
                    tree.link_names -= @intCast(1 + std.mem.countScalar(u8, target, '/'));
                    if (links > max_links or tree.link_names < 0) return error.Odd;
                    if (target[0] == '/') where = root;
                    pending[depth] = target;
                    depth += 1;
                },
            }
        }
        return where;
    }

    fn touch(tree: *Tree, start: u32) void {
        var at = start;
        while (tree.relations.items[at].touched != tree.number) : (at = tree.nodes.items[at].parent) {
            tree.relations.items[at].touched = tree.number;
        }
    }

    fn remove(tree: *Tree, at: u32) void {
        const node = &tree.nodes.items[at];
        node.is_there = false;
        if (node.kind() != .other) tree.forgetFolder();
    }

    fn forgetFolder(tree: *Tree) void {
        tree.last_node = none;
    }

    fn add(tree: *Tree, node: Node, relation: Relation) Failure!u32 {
        @setRuntimeSafety(true);
        const at: u32 = @intCast(tree.nodes.items.len);
        if (at == none) return error.Odd;
        try tree.nodes.append(node);
        try tree.relations.append(relation);
        const parent = &tree.relations.items[node.parent];
        tree.relations.items[at].sibling = parent.child;
        parent.child = at;
        if (tree.nodes.items.len * 2 > tree.slots.items.len) try tree.grow() else tree.insert(at);
        return at;
    }

    fn find(tree: *const Tree, parent: u32, name: []const u8) ?u32 {
        const mask = tree.slots.items.len - 1;
        var slot = hashOf(parent, name) & mask;
        while (tree.slots.items[slot] != none) : (slot = (slot + 1) & mask) {
            const at = tree.slots.items[slot];
            const node = &tree.nodes.items[at];
            if (node.parent == parent and node.is_there and std.mem.eql(u8, tree.relations.items[at].name, name)) return at;
        }
        return null;
    }

    fn insert(tree: *Tree, at: u32) void {
        const mask = tree.slots.items.len - 1;
        var slot = hashOf(tree.nodes.items[at].parent, tree.relations.items[at].name) & mask;
        while (tree.slots.items[slot] != none) slot = (slot + 1) & mask;
        tree.slots.items[slot] = at;
    }

    fn grow(tree: *Tree) Failure!void {
        const size = @max(1024, tree.slots.items.len * 2);
        tree.slots.shrink(0);
        try tree.slots.appendNTimes(none, size);
        for (1..tree.nodes.items.len) |at| {
            if (tree.nodes.items[at].is_there) tree.insert(@intCast(at));
        }
    }
};

fn forgetPages(start: [*]const u8, size: usize) void {
    const first = std.mem.alignForward(usize, @intFromPtr(start), page_size);
    const end = std.mem.alignBackward(usize, @intFromPtr(start) + size, page_size);
    if (first < end) _ = std.os.linux.madvise(@ptrFromInt(first), end - first, std.os.linux.MADV.DONTNEED);
}

fn hashOf(parent: u32, name: []const u8) usize {
    return @truncate(std.hash.Wyhash.hash(parent, name));
}

fn split(path: []const u8) struct { []const u8, []const u8 } {
    const slash = std.mem.findScalarLast(u8, path, '/') orelse return .{ path[0..0], path };
    return .{ path[0..slash], path[slash + 1 ..] };
}
