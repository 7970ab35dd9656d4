//! Headers of tar members: those that all readers read alike. Any other is `error.Odd`: rootfs/tar_header.py, the reference, reads
//! it, or says what is wrong with it.

const std = @import("std");

pub const record_size = 512;
pub const Record = *const [record_size]u8;
pub const Odd = error{Odd};

pub const max_number = std.math.maxInt(i64);

pub const Kind = struct {
    pub const regular: u8 = '0';
    pub const hard_link: u8 = '1';
    pub const symlink: u8 = '2';
    pub const character_device: u8 = '3';
    pub const block_device: u8 = '4';
    pub const directory: u8 = '5';
    pub const fifo: u8 = '6';
    pub const pax: u8 = 'x';
    pub const pax_global: u8 = 'g';
    pub const gnu_long_name: u8 = 'L';
    pub const gnu_long_link: u8 = 'K';
};

pub const Header = struct {
    name: []const u8,
    kind: u8,
    mode: u64,
    uid: u64,
    gid: u64,
    mtime: u64,
    size: u64,
    link: []const u8,
    major: u64,
    minor: u64,
};

/// Room for a name that stands in two fields.
pub const Room = [155 + 1 + 100]u8;

pub fn isExtension(record: Record) bool {
    return switch (record[156]) {
        Kind.pax, Kind.pax_global, Kind.gnu_long_name, Kind.gnu_long_link => true,
        else => false,
    };
}

pub fn isZero(record: Record) bool {
    return record[0] == 0 and std.mem.allEqual(u8, record, 0);
}

/// Reads a header; names are slices of the record or of the room.
pub fn parse(record: Record, room: *Room) Odd!Header {
    @setRuntimeSafety(true);
    try checkSum(record);
    var name = untilNul(record[0..100]);
    const prefix = record[345..500];
    if (std.mem.eql(u8, record[257..263], "ustar\x00")) {
        if (std.mem.eql(u8, record[508..512], "tar\x00")) return error.Odd;
        if (prefix[0] != 0) name = joined(untilNul(prefix), name, room);
    } else if (std.mem.eql(u8, record[257..265], "ustar  \x00")) {
        for ([_][]const u8{ prefix[0..12], prefix[12..24] }) |time| {
            if (time[0] != 0) _ = try number(time);
        }
    } else return error.Odd;
    return .{
        .name = name,
        .kind = record[156],
        .mode = try number(record[100..108]),
        .uid = try number(record[108..116]),
        .gid = try number(record[116..124]),
        .size = try number(record[124..136]),
        .mtime = try number(record[136..148]),
        .link = untilNul(record[157..257]),
        .major = try number(record[329..337]),
        .minor = try number(record[337..345]),
    };
}

fn checkSum(record: Record) Odd!void {
    @setRuntimeSafety(true);
    const field = record[148..156];
    var sum: u64 = 0;
    for (record) |byte| sum += byte;
    for (field) |byte| sum -= byte;
    sum += field.len * ' ';
    if (field[0] & 0x80 != 0 or try number(field) != sum) return error.Odd;
}

/// Reads octal digits, or GNU's base-256; both not negative.
fn number(field: []const u8) Odd!u64 {
    @setRuntimeSafety(true);
    const stripped = std.mem.trim(u8, field, " \x00");
    if (stripped.len == 0) return 0;
    if (field[0] & 0x80 != 0) return binary(field);
    var value: u64 = 0;
    for (untilNul(stripped)) |digit| {
        if (digit < '0' or digit > '7') return error.Odd;
        value = value * 8 + (digit - '0');
    }
    return value;
}

fn binary(field: []const u8) Odd!u64 {
    @setRuntimeSafety(true);
    if (field[0] & 0x40 != 0) return error.Odd;
    var value: u64 = field[0] & 0x3f;
    for (field[1..]) |byte| {
        if (value > max_number >> 8) return error.Odd;
        value = value << 8 | byte;
    }
    return value;
}

/// Reads decimal digits, as pax records have them.
pub fn decimal(text: []const u8) Odd!u64 {
    @setRuntimeSafety(true);
    if (text.len == 0 or text.len > 18) return error.Odd;
    var value: u64 = 0;
    for (text) |digit| {
        if (digit < '0' or digit > '9') return error.Odd;
        value = value * 10 + (digit - '0');
    }
    return value;
}

pub fn untilNul(text: []const u8) []const u8 {
    return std.mem.sliceTo(text, 0);
}

fn joined(prefix: []const u8, name: []const u8, room: *Room) []const u8 {
    @setRuntimeSafety(true);
    @memcpy(room[0..prefix.len], prefix);
    room[prefix.len] = '/';
    @memcpy(room[prefix.len + 1 ..][0..name.len], name);
    return room[0 .. prefix.len + 1 + name.len];
}
