// Package loop runs straight-line code on an event loop: the way to serve many connections with one thread and no scheduler.
//
// A Loop is a goroutine that owns an epoll. What it runs are tasks: coroutines (iter.Pull), each with plain blocking code on Conns.
// Where the kernel has nothing to read or no room to write, the task hands over to the loop, which costs some 100 ns, and goes on
// when there is. As all tasks of a loop take turns, they share its data without locks.
//
//	l, err := loop.New(loop.Config{Log: log})
//	l.Post(func() { listener, err = l.Listen(addr, loop.ListenConfig{}, func(t *loop.Task, c *loop.Conn) { io.Copy(c, c) }) })
//	err = l.Run(ctx)
//
// Rules for code in a task: it never blocks in another way than by a Conn or by a method of Task. No mutex is held over such a call.
// What has to block (DNS, files, channels) runs by Task.Await. A Conn, and all methods of Loop but Post and Run, are for the loop's
// own tasks and posted functions only.
package loop
