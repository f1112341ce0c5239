// What the page asks of the gateway. Errors are ApiError, whose text is for the person; nothing is kept here.

export class ApiError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, body) {
  let answer;
  try {
    answer = await fetch(path, body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  } catch {
    throw new ApiError(0, "the gateway does not answer");
  }
  let told;
  try {
    told = await answer.json();
  } catch {
    throw new ApiError(answer.status, `the gateway answered ${answer.status} without words`);
  }
  if (!answer.ok) throw new ApiError(answer.status, told.error ?? `the gateway answered ${answer.status}`);
  return told;
}

export const me = () => ask("/me");
export const logIn = (token) => ask("/login", { token });
export const logOut = () => ask("/logout", {});
export const call = async (operation, args = {}) => (await ask(`/api/${operation}`, args)).result;
