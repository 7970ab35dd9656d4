// What Go's archive/tar finds in archives: one line of output for each one.
//
// Input: archives, each behind its size in 4 bytes, little-endian. A line has the members, each ended by ";":
// type|name|link|size|mode|uid|gid|mtime|major|minor|xattrs|CRC-32 of the data, text in hex; or "ERR". Reading
// ends with the first error, as an engine's would. With the argument "write", archives of Go's own writer come
// out instead, each behind its size.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"io"
	"os"
	"sort"
	"strconv"
	"strings"
	"time"
)

const xattrPrefix = "SCHILY.xattr."

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	if len(os.Args) > 1 && os.Args[1] == "write" {
		writeArchives(out)
		return
	}
	in := bufio.NewReader(os.Stdin)
	for {
		var size uint32
		if binary.Read(in, binary.LittleEndian, &size) != nil {
			return
		}
		archive := make([]byte, size)
		if _, err := io.ReadFull(in, archive); err != nil {
			return
		}
		out.WriteString(describe(archive))
		out.WriteByte('\n')
	}
}

func describe(archive []byte) string {
	// Engines read from streams, which cannot seek.
	reader := tar.NewReader(struct{ io.Reader }{bytes.NewReader(archive)})
	var all strings.Builder
	for {
		header, err := reader.Next()
		if err == io.EOF {
			return all.String()
		}
		if err != nil {
			return "ERR"
		}
		sum := crc32.NewIEEE()
		if _, err := io.Copy(sum, reader); err != nil {
			return "ERR"
		}
		major, minor := header.Devmajor, header.Devminor
		if header.Typeflag != tar.TypeChar && header.Typeflag != tar.TypeBlock {
			major, minor = 0, 0
		}
		seconds := header.ModTime.Unix()
		if header.Typeflag == tar.TypeXGlobalHeader {
			seconds = 0
		}
		var xattrs []string
		for key, value := range header.PAXRecords {
			if strings.HasPrefix(key, xattrPrefix) {
				xattrs = append(xattrs, text(key[len(xattrPrefix):])+"="+text(value))
			}
		}
		sort.Strings(xattrs)
		fields := []string{
			text(string([]byte{header.Typeflag})), text(header.Name), text(header.Linkname), number(header.Size),
			number(header.Mode & 07777), number(int64(header.Uid)), number(int64(header.Gid)),
			number(seconds), number(major), number(minor),
			strings.Join(xattrs, ","), number(int64(sum.Sum32())),
		}
		all.WriteString(strings.Join(fields, "|"))
		all.WriteByte(';')
	}
}

func text(value string) string { return hex.EncodeToString([]byte(value)) }

func number(value int64) string { return strconv.FormatInt(value, 10) }

// writeArchives writes one archive for each format: all types, long names, large numbers.
func writeArchives(out io.Writer) {
	for _, format := range []tar.Format{tar.FormatUnknown, tar.FormatUSTAR, tar.FormatPAX, tar.FormatGNU} {
		var archive bytes.Buffer
		writer := tar.NewWriter(&archive)
		for _, header := range headers() {
			header.Format = format
			if format == tar.FormatUSTAR || format == tar.FormatGNU {
				header.PAXRecords = nil
			}
			// What a format has no room for is left out.
			if writer.WriteHeader(&header) == nil && header.Size > 0 {
				writer.Write(bytes.Repeat([]byte{'d'}, int(header.Size)))
			}
		}
		writer.Close()
		binary.Write(out, binary.LittleEndian, uint32(archive.Len()))
		out.Write(archive.Bytes())
	}
}

func headers() []tar.Header {
	early, late := time.Unix(12, 0), time.Unix(1<<34, 500)
	long := strings.Repeat("n", 120)
	deep := strings.Repeat("deep/", 40)
	return []tar.Header{
		{Typeflag: tar.TypeDir, Name: "d/", Mode: 01755, ModTime: early},
		{Typeflag: tar.TypeReg, Name: "d/f", Mode: 04644, Size: 700, Uid: 5, Gid: 7, Uname: "u", Gname: "g", ModTime: early},
		{Typeflag: tar.TypeReg, Name: "d/" + long, Mode: 0644, Size: 3, Uid: 1 << 22, Gid: 1 << 31, ModTime: late},
		{Typeflag: tar.TypeReg, Name: deep + "x", Mode: 0600, ModTime: time.Unix(-5, 0)},
		{Typeflag: tar.TypeReg, Name: "d/\u00e9", Mode: 0644, Size: 1, ModTime: early},
		{Typeflag: tar.TypeSymlink, Name: "s", Linkname: deep + "x", ModTime: early},
		{Typeflag: tar.TypeLink, Name: "h", Linkname: "d/f", Mode: 04644, Uid: 5, Gid: 7, ModTime: early},
		{Typeflag: tar.TypeLink, Name: long, Linkname: "d/" + long, Mode: 0644, Uid: 1 << 22, Gid: 1 << 31, ModTime: late},
		{Typeflag: tar.TypeChar, Name: "c", Devmajor: 1, Devminor: 5, ModTime: early},
		{Typeflag: tar.TypeBlock, Name: "b", Devmajor: 8, Devminor: 70000, ModTime: early},
		{Typeflag: tar.TypeFifo, Name: "p", Mode: 0600, ModTime: early},
		{Typeflag: tar.TypeReg, Name: "x", Mode: 0644, ModTime: early, PAXRecords: map[string]string{
			"SCHILY.xattr.user.a": "v", "SCHILY.xattr.security.capability": "\x01\x00\x00\x02" + strings.Repeat("\x00", 16), "comment": "c"}},
	}
}
