// What Go's encoding/json finds in documents: one line of output for each one.
//
// Input: documents, each behind one byte for its kind and its size in 4 bytes, little-endian. A line is the
// document again, with what the format defines and nothing else; "INVALID" if it is no JSON; "ERR" if something is
// of the wrong type. The types are those of moby
// (image.Image), image-spec (Manifest, Index), docker's archives and runtime-spec (Spec), as far as they matter.
package main

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
)

type health struct {
	Test    []string `json:",omitempty"`
	Retries int      `json:",omitempty"`
}

type execution struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Cmd          []string
	Volumes      map[string]struct{}
	WorkingDir   string
	Labels       map[string]string
	StopSignal   string
	Healthcheck  *health
}

type config struct {
	Created      string     `json:"created"`
	Architecture string     `json:"architecture"`
	OS           string     `json:"os"`
	Config       *execution `json:"config"`
	RootFS       *struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	Variant      string `json:"variant"`
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations"`
	Platform     *platform         `json:"platform"`
	ArtifactType string            `json:"artifactType"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType"`
	Config        *descriptor       `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Manifests     []descriptor      `json:"manifests"`
	Subject       *descriptor       `json:"subject"`
	Annotations   map[string]string `json:"annotations"`
}

type entry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

type spec struct {
	Version string `json:"ociVersion"`
	Process *struct {
		Args []string `json:"args"`
		Env  []string `json:"env"`
		Cwd  string   `json:"cwd"`
	} `json:"process"`
	Root *struct {
		Path     string `json:"path"`
		Readonly bool   `json:"readonly"`
	} `json:"root"`
	Mounts []struct {
		Destination string   `json:"destination"`
		Type        string   `json:"type"`
		Source      string   `json:"source"`
		Options     []string `json:"options"`
	} `json:"mounts"`
	Annotations map[string]string `json:"annotations"`
	Labels      []string          `json:"labels"`
}

var kinds = map[byte]func() any{
	'c': func() any { return new(config) },
	'm': func() any { return new(manifest) },
	'e': func() any { return new([]entry) },
	's': func() any { return new(spec) },
}

func describe(kind byte, document []byte) []byte {
	if !json.Valid(document) {
		return []byte("INVALID")
	}
	into := kinds[kind]()
	if json.Unmarshal(document, into) != nil {
		return []byte("ERR")
	}
	line, err := json.Marshal(into)
	if err != nil {
		return []byte("ERR")
	}
	return line
}

func main() {
	in := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		var head struct {
			Kind byte
			Size uint32
		}
		if binary.Read(in, binary.LittleEndian, &head) != nil {
			return
		}
		document := make([]byte, head.Size)
		if _, err := io.ReadFull(in, document); err != nil {
			return
		}
		out.Write(describe(head.Kind, document))
		out.WriteByte('\n')
	}
}
