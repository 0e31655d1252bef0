// Asks for the service's token. It stays in this tab and goes nowhere but into the Authorization header.

import { element, refill } from "./dom.js";

/** The form; `enter` is called when a token was accepted. */
export function tokenForm(api, enter, { wasWrong = false } = {}) {
  const field = element("input", { id: "token", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-note token-problem" });
  const problem = element("p", { id: "token-problem", class: "problem", role: "alert", hidden: true });
  const complain = (words) => {
    problem.hidden = false;
    refill(problem, words);
    field.setAttribute("aria-invalid", "true");
    field.select();
  };
  const submit = async (event) => {
    event.preventDefault();
    api.token = field.value.trim();
    try {
      const { role } = await api.access();
      if (role) enter();
      else {
        api.token = null;
        complain("The service does not know this token. Check it for missing or extra characters, and try again.");
      }
    } catch (error) {
      complain(error.message);
    }
  };
  const form = element("form", { class: "card token", on: { submit } },
    element("h1", { text: "A token is needed" }),
    element("p", { id: "token-note", class: "muted", text: "Whoever runs this service has it: a reader's shows everything, an operator's may also retry and cancel. It is kept in this tab only." }),
    element("label", { for: "token", text: "Token" }), field, problem,
    element("button", { type: "submit", class: "primary", text: "Enter" }));
  if (wasWrong) complain("The token is no longer accepted.");
  return form;
}
