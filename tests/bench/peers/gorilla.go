// gorilla/websocket as its documentation shows: for each connection a goroutine that reads and one
// that writes, and a channel between them. Prints its port, and exits when standard input ends.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/gorilla/websocket"
)

// Maximum number of messages in the queue of a connection.
const queueLength = 1024

type incoming struct {
	Ver  int             `json:"ver"`
	Type string          `json:"type"`
	Ts   int64           `json:"ts"`
	Data json.RawMessage `json:"data"`
}

type outgoing struct {
	Ver  int    `json:"ver"`
	Type string `json:"type"`
	Ts   int64  `json:"ts"`
	Data any    `json:"data"`
}

type reading struct {
	ID   string  `json:"id"`
	N    uint64  `json:"n"`
	T    float64 `json:"t"`
	H    uint32  `json:"h"`
	V    float64 `json:"v"`
	OK   bool    `json:"ok"`
	E    int32   `json:"e"`
	Note string  `json:"note"`
}

type client struct {
	socket *websocket.Conn
	queue  chan []byte
	closed chan struct{}
}

var (
	everyone   = map[*client]struct{}{}
	everyoneMu sync.RWMutex
	upgrader   = websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	handlers   = map[string]func(*client, json.RawMessage) error{
		"telemetry": onTelemetry,
		"reading":   onReading,
		"publish":   onPublish,
	}
)

func encode(messageType string, data any) ([]byte, error) {
	return json.Marshal(outgoing{Ver: 1, Type: messageType, Ts: time.Now().Unix(), Data: data})
}

// reply waits for room: a peer that does not read its replies is not read either.
func (c *client) reply(messageType string, data any) error {
	text, err := encode(messageType, data)
	if err != nil {
		return err
	}
	select {
	case c.queue <- text:
		return nil
	case <-c.closed:
		return io.ErrClosedPipe
	}
}

func onTelemetry(c *client, data json.RawMessage) error {
	return c.reply("telemetry", data)
}

func onReading(c *client, data json.RawMessage) error {
	var decoded reading
	if err := json.Unmarshal(data, &decoded); err != nil {
		return err
	}
	return c.reply("reading", &decoded)
}

// onPublish closes a connection whose queue is full, so that the others do not wait for it.
func onPublish(_ *client, data json.RawMessage) error {
	text, err := encode("publish", data)
	if err != nil {
		return err
	}
	everyoneMu.RLock()
	defer everyoneMu.RUnlock()
	for c := range everyone {
		select {
		case c.queue <- text:
		default:
			c.socket.Close()
		}
	}
	return nil
}

func (c *client) read() {
	defer func() {
		everyoneMu.Lock()
		delete(everyone, c)
		everyoneMu.Unlock()
		close(c.closed)
		c.socket.Close()
	}()
	for {
		_, text, err := c.socket.ReadMessage()
		if err != nil {
			return
		}
		var envelope incoming
		if err := json.Unmarshal(text, &envelope); err != nil {
			return
		}
		handler, found := handlers[envelope.Type]
		if !found || handler(c, envelope.Data) != nil {
			return
		}
	}
}

func (c *client) write() {
	for {
		select {
		case text := <-c.queue:
			if err := c.socket.WriteMessage(websocket.TextMessage, text); err != nil {
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
	c := &client{socket: socket, queue: make(chan []byte, queueLength), closed: make(chan struct{})}
	everyoneMu.Lock()
	everyone[c] = struct{}{}
	everyoneMu.Unlock()
	go c.write()
	// The handler returns, so that net/http can free the memory of the request.
	go c.read()
}

func main() {
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
