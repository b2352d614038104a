/** The server answered, and said no. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly requestId = '',
    /** Seconds after which to try again, where the server said so. */
    readonly retryAfter: number | null = null,
    /** What the server tells besides. */
    readonly data: unknown = null,
  ) {
    super(message)
    this.name = 'ApiError'
  }

  /** Worth another try: it is the server's state, not the request, that is at fault. */
  get isPassing(): boolean {
    return this.status === 408 || this.status === 429 || this.status >= 500
  }
}

/** No answer came: offline, a connection that was cut, a page that was frozen. Always worth another try. */
export class NetworkError extends Error {
  constructor(cause?: unknown) {
    super('network', { cause })
    this.name = 'NetworkError'
  }
}

interface Problem {
  msg?: string
  data?: unknown
  error?: { code?: string, request_id?: string }
}

export async function problemOf(response: Response): Promise<ApiError> {
  const problem = await response.json().catch(() => ({})) as Problem
  const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
  return new ApiError(
    response.status,
    problem.error?.code ?? `http_${response.status}`,
    problem.msg ?? '',
    problem.error?.request_id ?? '',
    Number.isFinite(seconds) ? seconds : null,
    problem.data ?? null,
  )
}

export function isAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === 'AbortError'
}
