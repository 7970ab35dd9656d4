//! Writes the measured tree of a merged one: rootfs.erofs and rootfs.verity, byte for byte as rootfs/erofs.py, the reference.

const std = @import("std");
const inodes = @import("erofs_inode.zig");
const merkle = @import("merkle.zig");
const sha256 = @import("sha256_ni");
const List = @import("buffer.zig").List;
const Buffer = @import("buffer.zig").Buffer;
const Output = @import("buffer.zig").Output;
const Child = inodes.Child;
const Failure = inodes.Failure;
const Inode = inodes.Inode;
const Layout = inodes.Layout;
const Named = inodes.Named;
const Tree = inodes.Tree;

const block_size = inodes.block_size;
const none = inodes.none;
const super_offset = 1024;
const chunk_bits = 31;
const implied_mode = 0o755;
/// Of a tree that is written: all of a large file's would be held twice.
const merkle_piece = 1 << 20;

/// See `_Result` in native_erofs.py.
const Result = extern struct { size: u64 = 0, verity_size: u64 = 0, digest: [32]u8 = @splat(0) };

/// The image on its way to its file, and its hashes to the other one.
const Image = struct {
    file: Output,
    verity: Output,
    tree: merkle.Tree = .{},
    block: [block_size]u8 = undefined,
    used: usize = 0,
    position: u64 = 0,

    fn write(image: *Image, data: []const u8) Failure!void {
        @setRuntimeSafety(true);
        var rest = data;
        while (rest.len != 0) {
            const size = @min(rest.len, block_size - image.used);
            @memcpy(image.block[image.used..][0..size], rest[0..size]);
            image.used += size;
            rest = rest[size..];
            if (image.used < block_size) continue;
            try image.file.writeAt(image.position, &image.block);
            const digest = sha256.hash(&image.block);
            try image.tree.add(&digest, &image.verity);
            image.position += block_size;
            image.used = 0;
        }
    }

    fn padTo(image: *Image, position: u64) Failure!void {
        @setRuntimeSafety(true);
        const zeros: [block_size]u8 = @splat(0);
        var left = position - image.position - image.used;
        while (left != 0) {
            const size = @min(left, block_size);
            try image.write(zeros[0..size]);
            left -= size;
        }
    }

    fn padBlock(image: *Image) Failure!void {
        if (image.used != 0) try image.padTo(image.position + block_size);
    }
};

const Writer = struct {
    tree: *const Tree,
    named: []align(1) const Named,
    inodes: List(Inode) = .{},
    /// By place.
    inode_of: List(u32) = .{},
    entries: List(Child) = .{},
    data: Buffer = .{},
    xattrs: Buffer = .{},
    scratch: Buffer = .{},
    size: u64 = 0,

    fn deinit(writer: *Writer) void {
        const lists = .{ &writer.inodes, &writer.inode_of, &writer.entries, &writer.data, &writer.xattrs, &writer.scratch };
        inline for (lists) |list| list.deinit();
    }

    /// Makes one inode for each file, in the order of paths.
    fn collect(writer: *Writer) Failure!void {
        @setRuntimeSafety(true);
        for (0..writer.tree.count) |index| {
            writer.tree.forget(index);
            const at: u32 = @intCast(index);
            const place = writer.tree.place(at);
            if (place.kind == 'd' and at != 0) writer.inodes.items[writer.inode_of.items[place.parent]].links += 1;
            if (place.data != at) {
                const first = writer.inode_of.items[place.data];
                writer.inodes.items[first].links += 1;
                try writer.inode_of.append(first);
                continue;
            }
            try writer.inode_of.append(@intCast(writer.inodes.items.len));
            var inode = try inodes.make(writer.tree, at, writer.named);
            if (place.kind == 'd') inode.links = 2;
            try writer.inodes.append(inode);
        }
    }

    fn children(writer: *Writer, place: u32) Failure!void {
        try inodes.children(writer.tree, place, writer.inode_of.items, &writer.entries);
    }

    fn areaOf(writer: *Writer, inode: *const Inode) Failure![]const u8 {
        try inodes.xattrArea(writer.tree, inode, &writer.scratch, &writer.xattrs);
        return writer.xattrs.items;
    }

    /// Gives each inode its layout, place and data blocks.
    fn placeAll(writer: *Writer) Failure!void {
        @setRuntimeSafety(true);
        var offset: u64 = inodes.first_inode;
        for (writer.inodes.items, 0..) |*inode, at| {
            writer.tree.forget(at);
            const kind = writer.tree.place(inode.place).kind;
            if (kind == 'd') {
                try writer.children(inode.place);
                inode.size = inodes.directorySize(writer.entries.items);
            }
            inode.xattrs_size = @intCast((try writer.areaOf(inode)).len);
            inode.layout = inodes.layoutOf(inode, kind);
            const room = block_size - offset % block_size;
            if (inode.bodySize() > room) offset += room;
            inode.nid = std.math.cast(u32, offset / inodes.slot_size) orelse return error.Odd;
            offset += std.mem.alignForward(u64, inode.bodySize(), inodes.slot_size);
        }
        var block = (offset + block_size - 1) / block_size;
        for (writer.inodes.items) |*inode| {
            if (inode.blockCount() == 0) continue;
            inode.start_block = std.math.cast(u32, block) orelse return error.Odd;
            block += inode.blockCount();
        }
        if (block >= none) return error.Odd;
        writer.size = block * block_size;
    }

    /// Gives each Merkle tree its offset; files of equal content share one.
    fn placeMerkleTrees(writer: *Writer) Failure!void {
        @setRuntimeSafety(true);
        var slots: List(u32) = .{};
        defer slots.deinit();
        try slots.appendNTimes(none, std.math.ceilPowerOfTwoAssert(usize, 2 * writer.inodes.items.len + 2));
        const mask = slots.items.len - 1;
        var next = merkle.treeSize(writer.size);
        for (writer.inodes.items, 0..) |*inode, at| {
            writer.tree.forget(at);
            if (!inode.on_host or inode.size <= block_size) continue;
            const verity = writer.tree.rowOf(inode.place).?.verity;
            var slot = std.mem.readInt(u64, verity[0..8], .little) & mask;
            while (slots.items[slot] != none) : (slot = (slot + 1) & mask) {
                const other = &writer.inodes.items[slots.items[slot]];
                if (std.mem.eql(u8, &writer.tree.rowOf(other.place).?.verity, &verity)) break;
            }
            if (slots.items[slot] != none) {
                inode.merkle = writer.inodes.items[slots.items[slot]].merkle;
                continue;
            }
            slots.items[slot] = @intCast(at);
            inode.merkle = std.math.cast(u32, next / merkle.hash_size) orelse return error.Odd;
            next += merkle.treeSize(inode.size);
        }
    }

    fn writeImage(writer: *Writer, image: *Image) Failure!void {
        @setRuntimeSafety(true);
        image.tree.begin(writer.size, 0);
        try image.padTo(super_offset);
        try writer.writeSuper(image);
        for (writer.inodes.items, 1..) |*inode, number| {
            writer.tree.forget(number);
            try image.padTo(@as(u64, inode.nid) * inodes.slot_size);
            try writer.writeInode(image, inode, @intCast(number));
        }
        try image.padBlock();
        for (writer.inodes.items) |*inode| {
            if (inode.blockCount() == 0) continue;
            const data = try writer.dataOf(inode);
            try image.write(data[0..@min(data.len, inode.blockCount() * block_size)]);
            try image.padBlock();
        }
        if (image.position != writer.size) return error.Odd;
    }

    fn writeSuper(writer: *const Writer, image: *Image) Failure!void {
        @setRuntimeSafety(true);
        var super: [128]u8 = @splat(0);
        std.mem.writeInt(u32, super[0..4], 0xE0F5E1E2, .little);
        std.mem.writeInt(u32, super[8..12], 0x2, .little); // MTIME
        super[12] = 12; // block size, log2
        std.mem.writeInt(u16, super[14..16], @intCast(writer.inodes.items[0].nid), .little);
        std.mem.writeInt(u64, super[16..24], writer.inodes.items.len, .little);
        std.mem.writeInt(u32, super[36..40], @intCast(writer.size / block_size), .little);
        std.mem.writeInt(u32, super[80..84], 0x4, .little); // CHUNKED_FILE
        try image.write(&super);
    }

    fn writeInode(writer: *Writer, image: *Image, inode: *const Inode, number: u32) Failure!void {
        @setRuntimeSafety(true);
        const place = writer.tree.place(inode.place);
        const record = writer.tree.rowOf(inode.place);
        var core: [inodes.core_size]u8 = @splat(0);
        const mode: u16 = if (record) |found| found.mode else implied_mode;
        std.mem.writeInt(u16, core[0..2], 1 | @as(u16, @intFromEnum(inode.layout)) << 1, .little);
        std.mem.writeInt(u16, core[2..4], inodes.xattrCount(inode.xattrs_size), .little);
        std.mem.writeInt(u16, core[4..6], typeBits(place.kind) | mode, .little);
        std.mem.writeInt(u64, core[8..16], inode.size, .little);
        var where: u32 = if (inode.on_host) chunk_bits else inode.start_block;
        if (record) |found| {
            if (place.kind == 'c' or place.kind == 'b') where = (found.minor & 0xff) | found.major << 8 | (found.minor & ~@as(u32, 0xff)) << 12;
            std.mem.writeInt(u32, core[24..28], found.uid, .little);
            std.mem.writeInt(u32, core[28..32], found.gid, .little);
            std.mem.writeInt(i64, core[32..40], found.mtime, .little);
        }
        std.mem.writeInt(u32, core[16..20], where, .little);
        std.mem.writeInt(u32, core[20..24], number, .little);
        std.mem.writeInt(u32, core[44..48], inode.links, .little);
        try image.write(&core);
        try image.write(try writer.areaOf(inode));
        switch (inode.layout) {
            .plain => {},
            .chunks => try image.write(&@as([4]u8, @splat(0xff))),
            .in_line => try image.write((try writer.dataOf(inode))[inode.blockCount() * block_size ..]),
        }
    }

    /// Returns the data of an inode that is in the image.
    fn dataOf(writer: *Writer, inode: *const Inode) Failure![]const u8 {
        @setRuntimeSafety(true);
        if (writer.tree.place(inode.place).kind != 'd') return inodes.contentOf(writer.tree, inode.place, writer.named);
        try writer.children(inode.place);
        const data = &writer.data;
        data.shrink(0);
        var left: []const Child = writer.entries.items;
        while (left.len != 0) {
            const count = inodes.entriesInBlock(left);
            var name_offset = count * inodes.dirent_size;
            for (left[0..count]) |entry| {
                const child = &writer.inodes.items[entry.inode];
                var dirent: [inodes.dirent_size]u8 = @splat(0);
                std.mem.writeInt(u64, dirent[0..8], child.nid, .little);
                std.mem.writeInt(u16, dirent[8..10], @intCast(name_offset), .little);
                dirent[10] = direntType(writer.tree.place(child.place).kind);
                try data.appendAll(&dirent);
                name_offset += entry.name.len;
            }
            for (left[0..count]) |entry| try data.appendAll(entry.name);
            left = left[count..];
            if (left.len != 0) try data.appendNTimes(0, std.mem.alignForward(usize, data.items.len, block_size) - data.items.len);
        }
        return data.items;
    }

    /// Appends the trees of the files, and returns the size of all.
    fn writeMerkleTrees(writer: *Writer, verity: *Output) Failure!u64 {
        @setRuntimeSafety(true);
        var end = merkle.treeSize(writer.size);
        for (writer.inodes.items) |*inode| {
            if (!inode.on_host or inode.size <= block_size or @as(u64, inode.merkle) * merkle.hash_size != end) continue;
            const layer = writer.tree.layerOf(inode.place).?;
            const start = writer.tree.rowOf(inode.place).?.merkle_offset;
            const size = merkle.treeSize(inode.size);
            if (layer.merkle_size < size or start > layer.merkle_size - size) return error.Odd;
            var left = layer.merkle[start..][0..size];
            while (left.len != 0) {
                const piece = left[0..@min(left.len, merkle_piece)];
                try verity.writeAt(end, piece);
                layer.forgetMerkle(piece);
                end += piece.len;
                left = left[piece.len..];
            }
        }
        return end;
    }
};

fn typeBits(kind: u8) u16 {
    return switch (kind) {
        'd' => 0o040000,
        'l' => 0o120000,
        'c' => 0o020000,
        'b' => 0o060000,
        'p' => 0o010000,
        else => 0o100000,
    };
}

fn direntType(kind: u8) u8 {
    return switch (kind) {
        'd' => 2,
        'l' => 7,
        'c' => 3,
        'b' => 4,
        'p' => 5,
        else => 1,
    };
}

fn write(writer: *Writer, image: *Image, result: *Result) Failure!void {
    try writer.collect();
    try writer.placeAll();
    try writer.placeMerkleTrees();
    try writer.writeImage(image);
    const digest = try image.tree.finish(&image.verity);
    const verity_size = try writer.writeMerkleTrees(&image.verity);
    try image.file.flush();
    try image.verity.flush();
    result.* = .{ .size = writer.size, .verity_size = verity_size, .digest = digest };
}

/// Writes both files. Returns 0; 1 if it is for the reference; or an errno, negative.
export fn enclavize_erofs_write(
    tree: *const Tree,
    named: [*]align(1) const Named,
    count: usize,
    image_file: i32,
    verity_file: i32,
    result: *Result,
) c_int {
    var writer: Writer = .{ .tree = tree, .named = named[0..count] };
    defer writer.deinit();
    var image: Image = .{
        .file = .{ .descriptor = image_file, .position = 0 },
        .verity = .{ .descriptor = verity_file, .position = 0 },
    };
    defer inline for (.{ &image.file.waiting, &image.verity.waiting, &image.tree.above }) |list| list.deinit();
    write(&writer, &image, result) catch |failure| return switch (failure) {
        error.Odd => 1,
        error.OutOfMemory => -@as(c_int, @intFromEnum(std.os.linux.E.NOMEM)),
        error.WriteFailed => -@max(image.file.errno, image.verity.errno),
    };
    return 0;
}

/// Where safety is on, an access out of bounds stops at once; nothing else can panic.
pub const panic = std.debug.no_panic;
