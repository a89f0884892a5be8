package mutate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
)

// Tree is a JSON value whose members keep their order.
type Tree struct {
	scalar   string // its text, where it is no container
	open     byte   // '{', '[' or 0
	key      string // its text, where it is a member of an object
	children []*Tree
}

// JSON parses a valid text.
func JSON(text []byte) (*Tree, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	t, err := readTree(d)
	if err != nil {
		return nil, fmt.Errorf("mutate: %w", err)
	}
	return t, nil
}

func readTree(d *json.Decoder) (*Tree, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	open, container := token.(json.Delim)
	if !container {
		text, err := json.Marshal(token)
		return &Tree{scalar: string(text)}, err
	}
	t := &Tree{open: byte(open)}
	for d.More() {
		key := ""
		if t.open == '{' {
			token, err := d.Token()
			if err != nil {
				return nil, err
			}
			text, err := json.Marshal(token)
			if err != nil {
				return nil, err
			}
			key = string(text)
		}
		child, err := readTree(d)
		if err != nil {
			return nil, err
		}
		child.key = key
		t.children = append(t.children, child)
	}
	_, err = d.Token()
	return t, err
}

func (t *Tree) clone() *Tree {
	out := *t
	out.children = make([]*Tree, len(t.children))
	for i, c := range t.children {
		out.children[i] = c.clone()
	}
	return &out
}

// Text returns the tree as JSON, behind the changes that c chooses: a value becomes
// another, or one that stands elsewhere, best under the same key; members go, come twice
// or change places. The tree stays as it is.
func (t *Tree) Text(c *Choices) []byte {
	t = t.clone()
	for c.More() {
		t.change(c)
	}
	return t.append(nil)
}

func (t *Tree) append(out []byte) []byte {
	if t.open == 0 {
		return append(out, t.scalar...)
	}
	out = append(out, t.open)
	for i, c := range t.children {
		if i > 0 {
			out = append(out, ',')
		}
		if t.open == '{' {
			out = append(append(out, c.key...), ':')
		}
		out = c.append(out)
	}
	return append(out, t.open+2) // ] and } stand two behind [ and {
}

// change goes down to a container and changes one of its members.
func (t *Tree) change(c *Choices) {
	at := t
	for len(at.children) > 0 {
		next := Of(c, at.children)
		if len(next.children) == 0 || c.Below(4) == 0 {
			break
		}
		at = next
	}
	if len(at.children) == 0 {
		return
	}
	i := c.Below(len(at.children))
	member := at.children[i]
	switch c.Below(8) {
	case 0:
		at.children = slices.Delete(at.children, i, i+1)
	case 1:
		at.children = slices.Insert(at.children, c.Below(len(at.children)+1), member.clone())
	case 2:
		j := c.Below(len(at.children))
		at.children[i], at.children[j] = at.children[j], at.children[i]
	case 3, 4:
		if like := t.alike(member, nil); len(like) > 0 {
			other := Of(c, like).clone()
			other.key = member.key
			at.children[i] = other
		}
	default:
		if member.open == 0 {
			member.scalar = member.other(c)
		}
	}
}

// alike returns what stands elsewhere under the key of v or, in a list, what is of its kind.
func (t *Tree) alike(v *Tree, out []*Tree) []*Tree {
	for _, c := range t.children {
		if c != v && c.key == v.key && c.open == v.open {
			out = append(out, c)
		}
		out = c.alike(v, out)
	}
	return out
}

// other returns another scalar, mostly of the same kind.
func (t *Tree) other(c *Choices) string {
	old := t.scalar
	if c.Below(8) == 7 {
		return Of(c, []string{"null", "true", "false", `""`, "0", "[]", "{}", `[[]]`})
	}
	switch {
	case old == "true":
		return "false"
	case old == "false":
		return "true"
	case old[0] == '"':
		var s string
		if json.Unmarshal([]byte(old), &s) != nil {
			return `""`
		}
		s = Of(c, []string{s + "x", "", s + s, s[:len(s)/2], "\u0000" + s, s + "\n", "\U0001f600", s + ".weight"})
		text, err := json.Marshal(s)
		if err != nil {
			return `""`
		}
		return string(text)
	}
	if n, err := strconv.ParseInt(old, 10, 64); err == nil && c.Below(2) == 0 {
		return strconv.FormatInt(Of(c, []int64{n + 1, n - 1, 2 * n, n / 2, -n, n + 4, n + 32}), 10)
	}
	return Of(c, edges)
}
