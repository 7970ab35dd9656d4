//! What stands before the header of a tar member: pax records, or GNU's long names. As in tar.zig, what is not read alike by all
//! is odd; rootfs/pax.py is the reference.

const std = @import("std");
const tar = @import("tar.zig");
const Buffer = @import("buffer.zig").Buffer;
const Error = @import("buffer.zig").Error;
const Odd = tar.Odd;

const max_keys = 64;
const max_xattrs_size = 64 << 10;
const max_xattr_name = 255;
const xattr_prefix = "SCHILY.xattr.";

/// What a member has besides its header; what is null is as in its header.
pub const Extensions = struct {
    name: ?[]const u8 = null,
    link: ?[]const u8 = null,
    mtime: ?u64 = null,
    uid: ?u64 = null,
    gid: ?u64 = null,
    size: ?u64 = null,
};

/// Reads the extended headers of one member, whole records one after the other; xattrs go to `xattrs` as rows.py has them.
pub fn parse(group: []const u8, xattrs: *Buffer) (Odd || Error)!Extensions {
    @setRuntimeSafety(true);
    var found: Extensions = .{};
    var room: tar.Room = undefined;
    var at: usize = 0;
    while (at < group.len) {
        const header = try tar.parse(group[at..][0..tar.record_size], &room);
        const data = group[at + tar.record_size ..][0..header.size];
        at += tar.record_size + padded(header.size);
        switch (header.kind) {
            tar.Kind.pax => {
                if (at != group.len or found.name != null or found.link != null) return error.Odd;
                try takeRecords(data, &found, xattrs);
            },
            tar.Kind.gnu_long_name => {
                if (found.name != null) return error.Odd;
                found.name = try gnuLong(data);
            },
            tar.Kind.gnu_long_link => {
                if (found.link != null) return error.Odd;
                found.link = try gnuLong(data);
            },
            else => return error.Odd,
        }
    }
    return found;
}

pub fn padded(size: u64) u64 {
    return size + (tar.record_size - size % tar.record_size) % tar.record_size;
}

fn gnuLong(data: []const u8) Odd![]const u8 {
    @setRuntimeSafety(true);
    const name = tar.untilNul(data);
    if (name.len == 0 or !std.mem.allEqual(u8, data[name.len..], 0)) return error.Odd;
    return name;
}

fn takeRecords(data: []const u8, found: *Extensions, xattrs: *Buffer) (Odd || Error)!void {
    @setRuntimeSafety(true);
    var keys: [max_keys][]const u8 = undefined;
    var count: usize = 0;
    var xattrs_size: usize = 0;
    var at: usize = 0;
    while (at < data.len) : (count += 1) {
        const rest = data[at..];
        const digits = std.mem.sliceTo(rest[0..@min(rest.len, 9)], ' ');
        const size = try tar.decimal(digits);
        if (size > rest.len or size < digits.len + 1 or rest[size - 1] != '\n') return error.Odd;
        const record = rest[digits.len + 1 .. @max(size - 1, digits.len + 1)];
        const key = std.mem.sliceTo(record, '=');
        if (key.len == 0 or key.len == record.len or count == max_keys) return error.Odd;
        const value = record[key.len + 1 ..];
        for (keys[0..count]) |other| {
            if (std.mem.eql(u8, key, other)) return error.Odd;
        }
        keys[count] = key;
        at += size;
        if (std.mem.startsWith(u8, key, xattr_prefix)) {
            const name = key[xattr_prefix.len..];
            xattrs_size += name.len + value.len;
            if (name.len == 0 or name.len > max_xattr_name or hasNul(name) or xattrs_size > max_xattrs_size) return error.Odd;
            try appendXattr(xattrs, name, value);
        } else try takeRecord(key, value, found);
    }
}

fn takeRecord(key: []const u8, value: []const u8, found: *Extensions) Odd!void {
    @setRuntimeSafety(true);
    const Key = enum { path, linkpath, uname, gname, mtime, atime, ctime, uid, gid, size };
    switch (std.meta.stringToEnum(Key, key) orelse {
        if (hasNul(key) or std.mem.startsWith(u8, key, "GNU.sparse.")) return error.Odd;
        return;
    }) {
        .path => found.name = try text(value),
        .linkpath => found.link = try text(value),
        .uname, .gname => if (hasNul(value)) return error.Odd,
        .mtime => found.mtime = try time(value),
        .atime, .ctime => _ = try time(value),
        .uid => found.uid = try tar.decimal(value),
        .gid => found.gid = try tar.decimal(value),
        .size => found.size = try tar.decimal(value),
    }
}

fn text(value: []const u8) Odd![]const u8 {
    return if (value.len == 0 or hasNul(value)) error.Odd else value;
}

/// Returns whole seconds; times before 1970 are odd.
fn time(value: []const u8) Odd!u64 {
    @setRuntimeSafety(true);
    const whole = std.mem.sliceTo(value, '.');
    if (whole.len < value.len) {
        for (value[whole.len + 1 ..]) |digit| {
            if (digit < '0' or digit > '9') return error.Odd;
        }
    }
    return tar.decimal(whole);
}

fn hasNul(value: []const u8) bool {
    return std.mem.findScalar(u8, value, 0) != null;
}

fn appendXattr(xattrs: *Buffer, name: []const u8, value: []const u8) Error!void {
    @setRuntimeSafety(true);
    var sizes: [6]u8 = undefined;
    std.mem.writeInt(u16, sizes[0..2], @intCast(name.len), .little);
    std.mem.writeInt(u32, sizes[2..6], @intCast(value.len), .little);
    try xattrs.appendAll(&sizes);
    try xattrs.appendAll(name);
    try xattrs.appendAll(value);
}
