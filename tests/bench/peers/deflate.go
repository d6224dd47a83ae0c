// gorilla/websocket for the measurements of compression: the same work as the hub in
// src/deflate/serve.rs. Prints its port, and exits when standard input ends. Arguments: the mode,
// the folder of samples.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Maximum number of messages in the queue of a connection.
const queueLength = 1024

type incoming struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data"`
}

type replay struct {
	Samples  string `json:"samples"`
	Count    int    `json:"count"`
	Everyone bool   `json:"everyone"`
}

// A text for one connection, or a prepared message, which is compressed once for all.
type outgoing struct {
	text     []byte
	prepared *websocket.PreparedMessage
}

type client struct {
	socket *websocket.Conn
	queue  chan outgoing
	closed chan struct{}
}

var (
	samples    = map[string][]string{}
	everyone   = map[*client]struct{}{}
	everyoneMu sync.RWMutex
	upgrader   = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
)

func lines(file string, types ...string) []string {
	text, err := os.ReadFile(os.Args[2] + "/" + file)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var chosen []string
	for _, line := range strings.Split(string(text), "\n") {
		for _, name := range types {
			if strings.Contains(line, `"type":"`+name+`"`) {
				chosen = append(chosen, line)
			}
		}
	}
	return chosen
}

// send waits for room.
func (c *client) send(message outgoing) error {
	select {
	case c.queue <- message:
		return nil
	case <-c.closed:
		return io.ErrClosedPipe
	}
}

func (c *client) handle(envelope incoming) error {
	switch envelope.Type {
	case "telemetry":
		return nil
	case "mark":
		mark := fmt.Sprintf(`{"ver":1,"type":"mark","ts":%d,"data":{}}`, time.Now().Unix())
		return c.send(outgoing{text: []byte(mark)})
	}
	var asked replay
	if err := json.Unmarshal(envelope.Data, &asked); err != nil {
		return err
	}
	all := samples[asked.Samples]
	for n := 0; n < asked.Count; n++ {
		line := all[n%len(all)]
		if !asked.Everyone {
			if err := c.send(outgoing{text: []byte(line)}); err != nil {
				return err
			}
			continue
		}
		message, err := websocket.NewPreparedMessage(websocket.TextMessage, []byte(line))
		if err != nil {
			return err
		}
		everyoneMu.RLock()
		for other := range everyone {
			other.send(outgoing{prepared: message})
		}
		everyoneMu.RUnlock()
	}
	return nil
}

func (c *client) read() {
	defer func() {
		close(c.closed)
		everyoneMu.Lock()
		delete(everyone, c)
		everyoneMu.Unlock()
		c.socket.Close()
	}()
	for {
		_, text, err := c.socket.ReadMessage()
		if err != nil {
			return
		}
		var envelope incoming
		if json.Unmarshal(text, &envelope) != nil || c.handle(envelope) != nil {
			return
		}
	}
}

func (c *client) write() {
	for {
		select {
		case message := <-c.queue:
			var err error
			if message.prepared != nil {
				err = c.socket.WritePreparedMessage(message.prepared)
			} else {
				err = c.socket.WriteMessage(websocket.TextMessage, message.text)
			}
			if err != nil {
				c.socket.Close()
				return
			}
		case <-c.closed:
			return
		}
	}
}

func connect(w http.ResponseWriter, r *http.Request) {
	socket, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	c := &client{socket: socket, queue: make(chan outgoing, queueLength), closed: make(chan struct{})}
	everyoneMu.Lock()
	everyone[c] = struct{}{}
	everyoneMu.Unlock()
	go c.write()
	// The handler returns, so that net/http can free the memory of the request.
	go c.read()
}

func main() {
	upgrader.EnableCompression = os.Args[1] != "off"
	samples["orders"] = lines("hub.jsonl", "check_health", "set_rate")
	samples["changes"] = lines("page.jsonl", "changes")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	http.HandleFunc("/ws", connect)
	fmt.Fprintln(os.Stderr, http.Serve(listener, nil))
	os.Exit(1)
}
