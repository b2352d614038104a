import type { AddressInfo, Socket } from 'node:net'
import { connect, createServer } from 'node:net'

/** The network between a phone and the server: it can be cut, be away, and be slow to notice. */
export class Proxy {
  isDown = false
  #sockets = new Set<Socket>()
  #server

  constructor(port: number) {
    this.#server = createServer((inner) => {
      if (this.isDown)
        return inner.destroy()
      const outer = connect(port, '127.0.0.1')
      for (const [one, other] of [[inner, outer], [outer, inner]] as const) {
        this.#sockets.add(one)
        one.pipe(other)
        one.on('error', () => {}).on('close', () => {
          this.#sockets.delete(one)
          other.destroy()
        })
      }
    })
  }

  async start(): Promise<string> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** Every connection breaks now, in the middle of whatever it says. */
  cut(): void {
    this.#sockets.forEach(socket => socket.destroy())
  }

  stop(): void {
    this.cut()
    this.#server.close()
  }
}
