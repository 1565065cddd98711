package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// completeWord is the command by which a shell asks what may stand at the end of a line: all its words, the last one as far as it was typed.
const completeWord = "__complete"

var completionScripts = map[string]string{
	"bash": `_rollcall() {
	local line=${COMP_LINE:0:COMP_POINT} head
	local -a words
	read -ra words <<< "$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	# What stands before the last : or = is left as it is: bash takes them for the ends of words.
	head=${words[-1]}
	head=${head%"${head##*[:=]}"}
	COMPREPLY=()
	while IFS= read -r line; do
		case $line in
		:files) compopt -o default ;;
		*)
			line=${line%%$'\t'*}
			[[ $line == *= ]] && compopt -o nospace 2>/dev/null
			COMPREPLY+=("${line#"$head"}")
			;;
		esac
	done < <("${COMP_WORDS[0]}" ` + completeWord + ` "${words[@]:1}" 2>/dev/null)
}
complete -F _rollcall rollcall
`,
	"zsh": `#compdef rollcall
_rollcall() {
	local line
	local -a found
	for line in "${(@f)$("${words[1]}" ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		case $line in
		:files) _files ;;
		*=$'\t'*) compadd -S '' -- "${line%%$'\t'*}" ;;
		?*) found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
		esac
	done
	(( $#found )) && _describe 'rollcall' found
}
compdef _rollcall rollcall
`,
	"fish": `function __rollcall_complete
	set -l words (commandline -opc)
	for line in ($words[1] ` + completeWord + ` $words[2..] (commandline -ct) 2>/dev/null)
		if test "$line" = ":files"
			__fish_complete_path (commandline -ct)
		else
			echo $line
		end
	end
end
complete -c rollcall -f -a '(__rollcall_complete)'
`,
}

// Run prints what a shell needs to complete our commands.
func (c *completionCmd) Run(e *env) error {
	_, err := io.WriteString(e.stdout, completionScripts[c.Shell])
	return err
}

// candidate is one word that may stand there, with what it is for.
type candidate struct{ word, help string }

// complete writes what may follow, a word a line, with its help after a tab; ":files" stands for names of files.
func complete(ctx context.Context, app *kong.Node, words []string, w io.Writer) {
	for _, c := range candidates(ctx, app, words) {
		fmt.Fprintf(w, "%s\t%s\n", c.word, c.help)
	}
}

var files = []candidate{{word: ":files"}}

func candidates(ctx context.Context, node *kong.Node, words []string) (out []candidate) {
	if len(words) == 0 {
		words = []string{""}
	}
	flags := map[string]*kong.Flag{}
	own := func(n *kong.Node) {
		all := n.Flags
		if n.DefaultCmd != nil { // whose flags may stand without its name
			all = slices.Concat(all, n.DefaultCmd.Flags)
		}
		for _, f := range all {
			flags["--"+f.Name] = f
			if f.Short != 0 {
				flags["-"+string(f.Short)] = f
			}
		}
	}
	own(node)
	before, last := words[:len(words)-1], words[len(words)-1]
	asked := offers{ctx: ctx, collector: cmp.Or(os.Getenv(collectorEnv), defaultCollector), page: cmp.Or(os.Getenv(pageEnv), defaultPage)}
	var given []string  // arguments
	var open *kong.Flag // awaits its value
	for _, word := range before {
		name, value, valued := strings.Cut(word, "=")
		f := flags[name]
		switch {
		case word == "=": // as bash divides --format=json
		case open != nil:
			asked.flag(open.Name, word)
			open = nil
		case f != nil && !valued && !f.IsBool():
			open = f
		case f != nil:
			if valued {
				asked.flag(f.Name, value)
			}
		default:
			if child := childOf(node, word); child != nil {
				node = child
				own(node)
			} else {
				given = append(given, word)
			}
		}
	}
	if last == "=" {
		last = ""
	}
	head := "" // of the last word, when it holds a flag and its value
	if name, value, valued := strings.Cut(last, "="); valued && flags[name] != nil {
		open, head, last = flags[name], name+"=", value
	}
	switch {
	case open != nil && open.Name == "service":
		out = asked.services(flags["--collector"] != nil)
	case open != nil:
		out = values(open.Value)
	case strings.HasPrefix(last, "-"):
		for name, f := range flags {
			if strings.HasPrefix(name, "--") && !f.Hidden {
				out = append(out, candidate{name, f.Help})
			}
		}
	case len(node.Children) > 0:
		for _, c := range node.Children {
			if !c.Hidden {
				out = append(out, candidate{c.Name, c.Help})
			}
		}
	case len(node.Positional) > 0:
		arg := node.Positional[min(len(given), len(node.Positional)-1)]
		switch strings.ToLower(arg.Name) {
		case "service":
			out = asked.services(flags["--collector"] != nil)
		case "metric":
			out = asked.metrics(given[0], last)
		case "instance":
			out = append(asked.instances(last), asked.findings()...)
		case "id":
			out = asked.findings()
		case "what":
			head, out = asked.what(given, last)
			last = strings.TrimPrefix(last, head)
		default:
			out = values(arg)
		}
	}
	if slices.Equal(out, files) {
		return out
	}
	out = slices.DeleteFunc(out, func(c candidate) bool { return !strings.HasPrefix(c.word, last) })
	for i := range out {
		out[i].word = head + out[i].word
		out[i].help, _, _ = strings.Cut(out[i].help, "\n")
	}
	slices.SortFunc(out, func(a, b candidate) int { return cmp.Compare(a.word, b.word) })
	return out
}

func childOf(n *kong.Node, name string) *kong.Node {
	for _, c := range n.Children {
		if c.Name == name || slices.Contains(c.Aliases, name) {
			return c
		}
	}
	return nil
}

// values are those that a flag or an argument may have, where that is known.
func values(v *kong.Value) (out []candidate) {
	if v.Enum == "" {
		if v.Tag != nil && (v.Tag.Type == "path" || strings.HasPrefix(v.Tag.Type, "existing")) || strings.Contains(v.Name, "path") {
			return files
		}
		return nil
	}
	for _, word := range v.EnumSlice() {
		out = append(out, candidate{word, ""})
	}
	return out
}
