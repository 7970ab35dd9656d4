//! Lists that grow, from the C library's heap, and a file that is written through them.

const std = @import("std");

extern fn realloc(memory: ?*anyopaque, size: usize) ?*anyopaque;
extern fn free(memory: ?*anyopaque) void;

pub const Error = error{ OutOfMemory, WriteFailed };

pub const Buffer = List(u8);

pub fn List(comptime Item: type) type {
    return struct {
        items: []Item = &.{},
        room: usize = 0,

        const Self = @This();
        const first_room = 4096 / @sizeOf(Item) + 1;

        pub fn reserve(list: *Self, more: usize) error{OutOfMemory}!void {
            const used = list.items.len;
            if (list.room - used >= more) return;
            const room = @max(first_room, list.room + list.room / 2, used + more);
            const memory = realloc(if (list.room == 0) null else @ptrCast(list.items.ptr), room * @sizeOf(Item));
            list.items.ptr = @ptrCast(@alignCast(memory orelse return error.OutOfMemory));
            list.room = room;
        }

        pub fn append(list: *Self, item: Item) error{OutOfMemory}!void {
            try list.reserve(1);
            list.items.len += 1;
            list.items[list.items.len - 1] = item;
        }

        pub fn appendAll(list: *Self, more: []const Item) error{OutOfMemory}!void {
            try list.reserve(more.len);
            const used = list.items.len;
            list.items.len += more.len;
            @memcpy(list.items[used..], more);
        }

        pub fn appendNTimes(list: *Self, item: Item, count: usize) error{OutOfMemory}!void {
            try list.reserve(count);
            const used = list.items.len;
            list.items.len += count;
            @memset(list.items[used..], item);
        }

        /// Keeps the first items only, and the room.
        pub fn shrink(list: *Self, size: usize) void {
            list.items.len = @min(size, list.items.len);
        }

        pub fn deinit(list: *Self) void {
            if (list.room != 0) free(@ptrCast(list.items.ptr));
            list.* = .{};
        }
    };
}

pub const Output = struct {
    descriptor: i32,
    /// Where the first of the waiting bytes goes.
    position: u64,
    waiting: Buffer = .{},
    /// What the kernel said, if writing failed.
    errno: i32 = 0,

    const enough = 256 << 10;

    pub fn writeAt(output: *Output, position: u64, bytes: []const u8) Error!void {
        const waiting = output.waiting.items.len;
        if (waiting >= enough or output.position + waiting != position) try output.flush();
        if (output.waiting.items.len == 0) output.position = position;
        try output.waiting.appendAll(bytes);
    }

    pub fn flush(output: *Output) Error!void {
        var left: []const u8 = output.waiting.items;
        while (left.len != 0) {
            const offset: i64 = @intCast(output.position);
            const result: isize = @bitCast(std.os.linux.pwrite(output.descriptor, left.ptr, left.len, offset));
            if (result == -@as(isize, @intFromEnum(std.os.linux.E.INTR))) continue;
            if (result <= 0) {
                output.errno = if (result == 0) @intFromEnum(std.os.linux.E.IO) else @intCast(-result);
                return error.WriteFailed;
            }
            left = left[@intCast(result)..];
            output.position += @intCast(result);
        }
        output.waiting.shrink(0);
    }
};
