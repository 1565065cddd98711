package main

import (
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"github.com/rollcall-metrics/rollcall/dashboards"
)

// topModel is the terminal view: what is known, and what of it is looked at. Its messages are topEvent, topLost, topTick, topDetailed, and the terminal's own.
type topModel struct {
	topState
	now           time.Time
	width, height int
	colour        bool
	ask           func(service, env string) (*topDetail, error) // asks for one service

	filter  string
	typing  bool   // the filter is being typed
	picked  string // the row, by service/env
	help    bool
	inside  *dashboards.Row // of whom the instances are looked at; nil: the services are
	detail  *topDetail      // of inside, nil until it has come
	failed  error           // to read it
	asking  bool
	within  string // the filter among its instances
	pickedI string // the instance
}

type (
	topHeard struct {
		event *topEvent
		at    time.Time
	}
	topLost     struct{ err error }
	topTick     time.Time
	topDetailed struct {
		group  string
		detail *topDetail
		err    error
	}
)

func tickTop() tea.Cmd { return tea.Tick(time.Second, func(t time.Time) tea.Msg { return topTick(t) }) }

func (m *topModel) Init() tea.Cmd { return tickTop() }

func (m *topModel) View() tea.View {
	v := tea.NewView(m.screen())
	v.AltScreen = true
	v.WindowTitle = "rollcall top"
	return v
}

func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topHeard:
		m.now = msg.at
		m.apply(msg.event, msg.at)
	case topLost:
		m.lost = msg.err
	case topTick:
		m.now = time.Time(msg)
		return m, tea.Batch(tickTop(), m.read())
	case topDetailed:
		m.asking = false
		if m.inside != nil && m.inside.Group() == msg.group {
			if m.failed = msg.err; msg.err == nil {
				m.detail = msg.detail
			}
		}
	case tea.KeyPressMsg:
		return m, m.key(msg)
	}
	return m, nil
}

// read asks for the instances that are looked at, one question at a time.
func (m *topModel) read() tea.Cmd {
	if m.inside == nil || m.asking || m.ask == nil {
		return nil
	}
	m.asking = true
	service, env, group := m.inside.Service, m.inside.Env, m.inside.Group()
	return func() tea.Msg {
		d, err := m.ask(service, env)
		return topDetailed{group, d, err}
	}
}

// text is the filter of what is looked at.
func (m *topModel) text() *string {
	if m.inside != nil {
		return &m.within
	}
	return &m.filter
}

func (m *topModel) key(k tea.KeyPressMsg) tea.Cmd {
	name := k.String()
	if name == "ctrl+c" {
		return tea.Quit
	}
	if m.typing {
		m.typed(name, k.Text)
		return nil
	}
	if m.help {
		m.help = false
		if name == "q" {
			return tea.Quit
		}
		return nil
	}
	page := max(m.height-8, 1)
	switch name {
	case "q":
		return tea.Quit
	case "?":
		m.help = true
	case "/":
		m.typing = true
	case "j", "down":
		m.move(1)
	case "k", "up":
		m.move(-1)
	case "pgdown", "ctrl+d", "space":
		m.move(page)
	case "pgup", "ctrl+u":
		m.move(-page)
	case "g", "home":
		m.move(-1 << 30)
	case "G", "end":
		m.move(1 << 30)
	case "enter", "l", "right":
		if m.inside == nil {
			if rows := m.sorted(m.filter); len(rows) > 0 {
				m.inside, m.detail, m.failed, m.within, m.pickedI = rows[m.at(rows)], nil, nil, "", ""
				return m.read()
			}
		}
	case "esc", "h", "left", "backspace":
		switch text := m.text(); {
		case *text != "" && name == "esc":
			*text = ""
		case m.inside != nil:
			m.inside, m.detail = nil, nil
		}
	}
	return nil
}

// typed is a key while the filter is typed.
func (m *topModel) typed(name, text string) {
	filter := m.text()
	switch name {
	case "enter":
		m.typing = false
	case "esc":
		m.typing, *filter = false, ""
	case "backspace":
		_, n := utf8.DecodeLastRuneInString(*filter)
		*filter = (*filter)[:len(*filter)-n]
	default:
		if len(*filter)+len(text) <= 200 {
			*filter += plain(text)
		}
	}
}

// move goes so many lines down.
func (m *topModel) move(by int) {
	if m.inside != nil {
		if m.detail == nil {
			return
		}
		if list := m.detail.sortedInstances(m.within); len(list) > 0 {
			m.pickedI = list[min(max(m.atInstance(list)+by, 0), len(list)-1)].Instance
		}
		return
	}
	if rows := m.sorted(m.filter); len(rows) > 0 {
		m.picked = rows[min(max(m.at(rows)+by, 0), len(rows)-1)].Group()
	}
}

// at is where the row stands that was picked; the first where none was, or it is gone.
func (m *topModel) at(rows []*dashboards.Row) int {
	for i, r := range rows {
		if r.Group() == m.picked {
			return i
		}
	}
	return 0
}

func (m *topModel) atInstance(list []*dashboards.Instance) int {
	for i, x := range list {
		if x.Instance == m.pickedI {
			return i
		}
	}
	return 0
}
