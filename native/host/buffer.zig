//! Bytes that grow, from the C library's heap, and a file that is written through them.

const std = @import("std");

extern fn realloc(memory: ?*anyopaque, size: usize) ?*anyopaque;
extern fn free(memory: ?*anyopaque) void;

pub const Error = error{ OutOfMemory, WriteFailed };

pub const Buffer = struct {
    bytes: []u8 = &.{},
    room: usize = 0,

    const first_room = 4096;

    pub fn append(buffer: *Buffer, more: []const u8) Error!void {
        const used = buffer.bytes.len;
        if (buffer.room - used < more.len) {
            const room = @max(first_room, buffer.room + buffer.room / 2, used + more.len);
            const memory = realloc(if (buffer.room == 0) null else buffer.bytes.ptr, room);
            buffer.bytes.ptr = @ptrCast(memory orelse return error.OutOfMemory);
            buffer.room = room;
        }
        buffer.bytes.len = used + more.len;
        @memcpy(buffer.bytes[used..], more);
    }

    /// Keeps the first bytes only, and the room.
    pub fn shrink(buffer: *Buffer, size: usize) void {
        buffer.bytes.len = @min(size, buffer.bytes.len);
    }

    pub fn deinit(buffer: *Buffer) void {
        if (buffer.room != 0) free(buffer.bytes.ptr);
        buffer.* = .{};
    }
};

pub const Output = struct {
    descriptor: i32,
    /// Where the first of the waiting bytes goes.
    position: u64,
    waiting: Buffer = .{},
    /// What the kernel said, if writing failed.
    errno: i32 = 0,

    const enough = 256 << 10;

    pub fn writeAt(output: *Output, position: u64, bytes: []const u8) Error!void {
        const waiting = output.waiting.bytes.len;
        if (waiting >= enough or output.position + waiting != position) try output.flush();
        if (output.waiting.bytes.len == 0) output.position = position;
        try output.waiting.append(bytes);
    }

    pub fn flush(output: *Output) Error!void {
        var left: []const u8 = output.waiting.bytes;
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
